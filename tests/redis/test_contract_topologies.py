"""The contract holds unchanged on a Sentinel farm and on a cluster."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.contract_run import run_contract


@pytest.mark.parametrize("farm", ["sentinel", "cluster"])
async def test_the_contract_holds(farm):
    assert " passed" in await asyncio.to_thread(run_contract, farm)
