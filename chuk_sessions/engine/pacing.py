"""Turns of the event loop: long work gives way to other tasks every few milliseconds."""

from __future__ import annotations

import asyncio
from time import perf_counter

_SPAN = 0.004
"""Seconds that work may take before other tasks have their turn."""


class Pace:
    """Measures how long work has held the event loop. Tasks that work side by side share one."""

    __slots__ = ("_ends", "_until")

    def __init__(self) -> None:
        self._until = perf_counter() + _SPAN
        self._ends = False

    def is_due(self) -> bool:
        """Return whether other tasks should have a turn now."""
        return perf_counter() > self._until

    async def give_way(self) -> None:
        """Let other tasks run, and wait on while those that share this pace take up all of the turn."""
        while perf_counter() > self._until:
            if not self._ends:
                self._ends = True
                # It is called at the beginning of the loop's next turn, ahead of the tasks that wait here.
                asyncio.get_running_loop().call_soon(self._begin)
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._until = perf_counter() + _SPAN
        self._ends = False
