"""The fault matrix in its short form. With CHUK_TEST_LONG=1, all of it, for as long as `make faults` takes."""

from __future__ import annotations

import pytest

from tests.redis.tools import LONG

from .matrix import LONG_S, MATRIX, SHORT_S, Fault, run
from .page import line


@pytest.mark.parametrize("fault", [fault for fault in MATRIX if LONG or not fault.slow], ids=lambda fault: fault.name)
async def test_promises_are_kept(fault: Fault):
    result = await run(fault, LONG_S if LONG else SHORT_S)
    print(line(result))
    assert not result.broken, (result.counts, result.unexpected[:5])
    assert result.counts.writes > 100
