"""Turns of the event loop: long work gives way to other tasks every few milliseconds."""

from __future__ import annotations

import asyncio
from time import perf_counter

_SPAN = 0.004
"""Seconds that work may take before other tasks have their turn."""


class Pace:
    """Measures how long the running task has held the event loop."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = perf_counter()

    def is_due(self) -> bool:
        """Return whether other tasks should have a turn now."""
        return perf_counter() - self._since > _SPAN

    async def give_way(self) -> None:
        """Let other tasks run."""
        await asyncio.sleep(0)
        self._since = perf_counter()
