"""The cost of waiting for replicas: the same allocations with and without it."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from chuk_sessions import SessionManager
from tests.harness.farms import sentinel_farm
from tests.redis.tools import manager_at

from .environments import server_binary

CALLS = 2000
CALLERS = 50


async def measure() -> str:
    """Measure a primary with two replicas. Return a sentence and a Markdown table."""
    with sentinel_farm(server_binary()) as farm:
        figures = {}
        for replicas in (0, 1, 2):
            async with manager_at(farm.url, wait_replicas=replicas) as manager:
                await _allocate(manager, 100)
                figures[replicas] = await _median_ms(manager), await _calls_per_second(manager)
    rows = [f"| {replicas} | {latency:.2f} | {rate:,.0f} |\n" for replicas, (latency, rate) in figures.items()]
    return (
        f"Measured on one machine: allocations by one caller, and by {CALLERS} concurrent callers.\n\n"
        "| wait_replicas | ms per call (median, one caller) | calls per second (concurrent) |\n|--:|--:|--:|\n"
        + "".join(rows)
    )


async def _median_ms(manager: SessionManager) -> float:
    durations = []
    for _ in range(500):
        begun = time.perf_counter()
        await manager.allocate_session()
        durations.append(1000 * (time.perf_counter() - begun))
    return median(durations)


async def _calls_per_second(manager: SessionManager) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(_allocate(manager, CALLS // CALLERS) for _ in range(CALLERS)))
    return CALLS / (time.perf_counter() - begun)


async def _allocate(manager: SessionManager, number: int) -> None:
    for _ in range(number):
        await manager.allocate_session()
