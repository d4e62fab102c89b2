"""An ordinary run shows nothing of what a fault is known by."""

from __future__ import annotations

import asyncio

from tests.faults.load.load import load_on

from .environments import alone
from .judge import count
from .matrix import MATRIX

MAY_BE_THE_MACHINES = {"CLIENT PAUSE", "slow and fragmenting proxy"}
"""Calls that take long, which they also do where the machine has no time."""


async def test_where_nothing_strikes_there_is_no_trace_of_a_fault():
    with alone()() as stage:
        async with load_on(stage.url, timeout=10.0) as load:
            await asyncio.sleep(0.3)
        counts = await count(load, stage.direct, 0.0)
        traces = {fault.name for fault in MATRIX if fault.felt(stage, load, counts)}
    assert load.longest > 0
    assert traces <= MAY_BE_THE_MACHINES
