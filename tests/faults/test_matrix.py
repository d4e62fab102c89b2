"""The fault matrix in its short form. With CHUK_TEST_LONG=1, all of it, for as long as `make faults` takes."""

from __future__ import annotations

import pytest

from tests.redis.tools import LONG

from .matrix import ENOUGH_WRITES, LONG_S, MATRIX, SHORT_S, Fault, run
from .page import line


def _is_hasty(fault: Fault) -> bool:
    return fault.recovers_within is not None and fault.recovers_within < 1


FAULTS = [
    pytest.param(fault, id=fault.name, marks=[pytest.mark.quiet] if _is_hasty(fault) else [])
    for fault in MATRIX
    if LONG or not fault.slow
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_promises_are_kept(fault: Fault):
    result = await run(fault, LONG_S if LONG else SHORT_S)
    print(line(result))
    assert not result.broken, (result.counts, result.unexpected[:5])
    assert result.counts.writes >= ENOUGH_WRITES
