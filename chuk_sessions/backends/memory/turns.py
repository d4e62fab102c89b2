"""Turns for other tasks: the emulator waits for no I/O, so that a task that polls it would keep the loop to itself."""

from __future__ import annotations

import asyncio
from random import randrange

_CALLS = 1000
_MS = 2


class Turns:
    """When callers give way: every few milliseconds, and after a number of calls, which matters where the clock stands
    still. That number is random, so that it is not the same caller each time.

    Attributes:
        left: calls until the next one; callers count it down, and give way when it is negative. Counting is not exact
            between threads.
        due: the moment (ms) from which on they give way, too.

    """

    __slots__ = ("due", "left")

    def __init__(self, now: int) -> None:
        self.left = _CALLS
        self.due = now + _MS

    async def give_way(self, now: int) -> None:
        """Let the event loop run what else is ready."""
        self.left, self.due = randrange(_CALLS // 2, 2 * _CALLS), now + _MS
        await asyncio.sleep(0)
