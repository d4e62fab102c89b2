"""The clock that deadlines are measured with."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the loop's clock. uvloop's own does not advance while a callback runs, so that a call made after a long
    one would be given a deadline in the past; on Linux both clocks are CLOCK_MONOTONIC.
    """
    cached = type(loop).__module__.partition(".")[0] == "uvloop"
    return time.monotonic if cached and sys.platform == "linux" else loop.time
