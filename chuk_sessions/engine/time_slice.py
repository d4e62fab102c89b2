"""Time slices: long work yields to other tasks every few milliseconds."""

from __future__ import annotations

import asyncio
from time import perf_counter

_SLICE_SECONDS = 0.002
"""Seconds that work may hold the event loop before it yields to other tasks."""


class TimeSlice:
    """A bound on how long work holds the event loop. Concurrent tasks of the same work share one."""

    __slots__ = ("_is_renewing", "_until")

    def __init__(self) -> None:
        self._until = perf_counter() + _SLICE_SECONDS
        self._is_renewing = False

    def is_over(self) -> bool:
        """Return whether the work should yield to other tasks now."""
        return perf_counter() > self._until

    async def renew(self) -> None:
        """Yield to other tasks until a new slice has begun, and while those that share it have consumed it again."""
        while perf_counter() > self._until:
            if not self._is_renewing:
                self._is_renewing = True
                # The callback runs at the start of the loop's next iteration, before the tasks that wait here.
                asyncio.get_running_loop().call_soon(self._start)
            await asyncio.sleep(0)

    def _start(self) -> None:
        self._until = perf_counter() + _SLICE_SECONDS
        self._is_renewing = False
