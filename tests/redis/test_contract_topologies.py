"""The contract holds unchanged on a Sentinel farm and on a cluster.

Sentinel only decides which server gets the calls, whatever their operation is. So by default, only a part runs there.
On a cluster, each operation must work within one slot.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.contract_run import ALL, run_contract
from tests.redis.tools import LONG

TESTS = {"sentinel": ALL if LONG else "tests/contract/test_rotate.py", "cluster": ALL}


@pytest.mark.parametrize("farm", TESTS)
async def test_the_contract_holds(farm):
    assert " passed" in await asyncio.to_thread(run_contract, farm, tests=TESTS[farm])
