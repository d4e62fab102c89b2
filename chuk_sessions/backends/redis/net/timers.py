"""Timers that do not keep their owner alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


def call_later_weakly(
    loop: asyncio.AbstractEventLoop, seconds: float, method: Callable[[], Any]
) -> asyncio.TimerHandle:
    """Call a bound method after `seconds`, unless its object has been garbage-collected."""
    return loop.call_later(seconds, _call, WeakMethod(method))


def _call(reference: WeakMethod[Callable[[], Any]]) -> None:
    method = reference()
    if method is not None:
        method()
