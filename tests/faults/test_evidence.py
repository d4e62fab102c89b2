"""An ordinary run shows no evidence of a fault."""

from __future__ import annotations

import asyncio

from tests.faults.load.load import load_on

from .environments import standalone
from .judge import count
from .matrix import MATRIX

ALSO_ON_A_BUSY_MACHINE = {"CLIENT PAUSE", "slow and fragmenting proxy"}
"""Faults whose evidence is slow calls, which a busy machine shows, too."""


RUNS = 3


async def test_a_run_without_a_fault_shows_no_evidence():
    """A busy machine delays some runs, but not all, by as much as a fault."""
    shown = [await faults_shown() for _ in range(RUNS)]
    assert set.intersection(*shown) <= ALSO_ON_A_BUSY_MACHINE


async def faults_shown() -> set[str]:
    """Return the faults that an ordinary run shows evidence of."""
    with standalone()() as environment:
        async with load_on(environment.url, timeout=10.0) as load:
            await asyncio.sleep(0.3)
        counts = await count(load, environment.direct, 0.0)
        assert load.longest > 0
        return {fault.name for fault in MATRIX if fault.evidence(environment, load, counts)}
