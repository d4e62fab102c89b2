"""Threads beside an event loop under load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH = 0.0005


@contextmanager
def prompt_threads() -> Iterator[None]:
    """Let a thread that controls servers run within 0.5 ms, although the event loop's thread is busy all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
