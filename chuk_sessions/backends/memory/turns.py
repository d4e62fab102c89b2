"""Turns for other tasks: the emulator waits for no I/O, so without them a task that polls it would block the loop."""

from __future__ import annotations

import asyncio
from random import randrange

from .clock import Clock, SystemClock

_INTERVAL_MS = 5
_CALLS = 1000


class Turns:
    """The rule that says when a caller gives way to other tasks.

    That is every few milliseconds or, with a clock that may not move, after a number of calls. The number is random, so
    that it is not always the same caller.

    Attributes:
        due: when callers have to ask `is_time`, ms; 0 (always) with a clock that may not move.

    """

    __slots__ = ("_calls_left", "_clock_moves", "due")

    def __init__(self, clock: Clock) -> None:
        self._clock_moves = isinstance(clock, SystemClock)
        # Threads count without a lock, so the count is not exact.
        self._calls_left = _CALLS
        self.due = clock.now_ms() + _INTERVAL_MS if self._clock_moves else 0

    def is_time(self, now: int) -> bool:
        """Return whether the caller should give way now, and if so, start the next interval."""
        if self._clock_moves:
            self.due = now + _INTERVAL_MS
            return True
        self._calls_left -= 1
        if self._calls_left > 0:
            return False
        self._calls_left = randrange(_CALLS // 2, 2 * _CALLS)
        return True

    async def give_way(self, now: int) -> None:
        """Let the event loop run other tasks that are ready, if it is time."""
        if self.is_time(now):
            await asyncio.sleep(0)
