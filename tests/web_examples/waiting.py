"""Waiting for conditions, for a generous time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TIMEOUT = 60.0
PAUSE = 0.02
"""Seconds until a client repeats a request that the shop has refused during an outage."""
_INTERVAL = 0.01


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition is met. What it raises propagates."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            if condition():
                return
            await asyncio.sleep(_INTERVAL)
