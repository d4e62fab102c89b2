"""Turns for other tasks: the emulator waits for no I/O, so that a task that polls it would keep the loop to itself."""

from __future__ import annotations

import asyncio
from random import randrange

from .clock import Clock, SystemClock

_MS = 5
_CALLS = 1000


class Turns:
    """When callers give way: after some milliseconds, or after some calls with a clock that may stand still. The number
    of calls is random, so that it is not the same caller each time.

    Attributes:
        due: the moment (ms) from which on callers ask `is_time`; 0 with a clock that may stand still.

    """

    __slots__ = ("_left", "_moves", "due")

    def __init__(self, clock: Clock) -> None:
        self._moves = isinstance(clock, SystemClock)
        # Counting is not exact between threads.
        self._left = _CALLS
        self.due = clock.now_ms() + _MS if self._moves else 0

    def is_time(self, now: int) -> bool:
        """Return whether the caller should give way now, and set the next moment if so."""
        if self._moves:
            self.due = now + _MS
            return True
        self._left -= 1
        if self._left > 0:
            return False
        self._left = randrange(_CALLS // 2, 2 * _CALLS)
        return True

    async def give_way(self, now: int) -> None:
        """Let the event loop run what else is ready, if it is time."""
        if self.is_time(now):
            await asyncio.sleep(0)
