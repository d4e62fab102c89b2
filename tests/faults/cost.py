"""What waiting for a replica costs: the same calls with and without it."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from chuk_sessions import SessionManager
from tests.harness.farms import sentinel_farm
from tests.redis.topology_load import manager_at

from .environments import binary

CALLS = 2000
CALLERS = 50


async def measure() -> str:
    """Measured on a primary with two replicas, in words."""
    with sentinel_farm(binary()) as farm:
        figures = {}
        for replicas in (0, 1, 2):
            async with manager_at(farm.url, wait_replicas=replicas) as manager:
                await _makes(manager, 100)
                figures[replicas] = await _one_by_one(manager), await _at_once(manager)
    rows = [f"| {replicas} | {alone:.2f} | {rate:,.0f} |\n" for replicas, (alone, rate) in figures.items()]
    return (
        f"Measured on one machine, allocations by one caller, and by {CALLERS} at once:\n\n"
        "| wait_replicas | ms a call, median | calls a second |\n|--:|--:|--:|\n" + "".join(rows)
    )


async def _one_by_one(manager: SessionManager) -> float:
    took = []
    for _ in range(500):
        begun = time.perf_counter()
        await manager.allocate_session()
        took.append(1000 * (time.perf_counter() - begun))
    return median(took)


async def _at_once(manager: SessionManager) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(_makes(manager, CALLS // CALLERS) for _ in range(CALLERS)))
    return CALLS / (time.perf_counter() - begun)


async def _makes(manager: SessionManager, number: int) -> None:
    for _ in range(number):
        await manager.allocate_session()
