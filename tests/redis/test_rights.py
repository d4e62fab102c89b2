"""The rights that the README names are enough, and nothing works without them."""

from __future__ import annotations

import re

import pytest

from chuk_sessions.providers.redis import RedisSession
from tests.conftest import bundled
from tests.harness.contract_run import ROOT, run_contract
from tests.harness.farms import Member, one_sentinel_over
from tests.harness.servers import Server
from tests.redis.tools import LONG, backend_on, manager_on, works

README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def named(pattern: str) -> str:
    """What the README says in that place."""
    found = re.search(pattern, README)
    assert found
    return found[1]


RECIPE = named(r"ACL SETUSER app on >PASSWORD ([^`]*) ```")
OF_A_CLUSTER = named("A cluster needs `([^`]*)`")
OF_SENTINELS = named("A user of the sentinels needs `([^`]*)`")


def test_the_contract_holds_with_them(any_server: Server):
    assert " passed" in run_contract(any_server.url, rules=RECIPE)


def test_the_contract_holds_on_a_cluster_with_its_own():
    tests = "tests/contract" if LONG else "tests/contract/test_allocate.py"
    assert " passed" in run_contract("cluster", rules=f"{RECIPE} {OF_A_CLUSTER}", tests=tests)


def test_the_contract_does_not_hold_without_one_of_them(server: Server):
    with pytest.raises(AssertionError, match=r"its ACL lacks \+"):
        run_contract(server.url, rules=RECIPE.replace("+@write", ""), tests="tests/contract/test_count.py")


async def test_scripts_as_they_are_shipped_work_with_them(any_server: Server):
    """The contract has a clock of its own, so that it does without `+time`."""
    with any_server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">app", "~verify:*", *RECIPE.split())
        client.script_flush()
    async with backend_on(f"redis://app:app@127.0.0.1:{any_server.port}") as backend:
        await works(backend)
        health = await manager_on(backend).ping()
        assert (health.role, health.problems) == ("primary", ())
        values = RedisSession(backend, 60)
        await values.setex("verify:alice", 60, "code")
        assert await values.getdel("verify:alice") == "code"


async def test_a_user_of_the_sentinels(server: Server):
    with one_sentinel_over(bundled(), Member(server, server.port)) as farm:
        farm.sentinels[0].command("ACL", "SETUSER", "app", "on", ">app", *OF_SENTINELS.split())
        async with backend_on(f"{farm.url}?sentinel_username=app&sentinel_password=app") as backend:
            await works(backend)
            assert (await manager_on(backend).ping()).role == "primary"
