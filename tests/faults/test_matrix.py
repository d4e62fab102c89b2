"""The fault matrix in its short form. With CHUK_TEST_LONG=1, all of it, for as long as `make faults` takes."""

from __future__ import annotations

import pytest

from tests.redis.tools import LONG

from .matrix import ENOUGH_WRITES, LONG_S, MATRIX, SHORT_S, Fault, run
from .page import line


def _has_a_limit(fault: Fault) -> bool:
    """Return whether the row promises a time, which other tests would make longer."""
    return fault.recovers_within is not None


FAULTS = [
    pytest.param(fault, id=fault.name, marks=[pytest.mark.quiet] if _has_a_limit(fault) else [])
    for fault in MATRIX
    if LONG or not fault.slow
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_promises_are_kept(fault: Fault):
    result = await run(fault, LONG_S if LONG else SHORT_S)
    print(line(result))
    assert not result.broken, (result.counts, result.unexpected[:5])
    assert result.counts.writes >= ENOUGH_WRITES
