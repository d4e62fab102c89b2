"""The rights in the production checklist are sufficient and necessary."""

from __future__ import annotations

import re

import pytest

from chuk_sessions.providers.redis import RedisSession
from tests.conftest import bundled
from tests.harness.contract_run import ROOT, run_contract
from tests.harness.farms import Member, one_sentinel_over
from tests.harness.servers import Server
from tests.redis.tools import LONG, backend_on, manager_on, works

PAGE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")


def recipe() -> str:
    """Return the ACL rules of the fenced block that contains ACL SETUSER, without user, password and comments."""
    [block] = [found for found in re.findall(r"^ *```\w*\n(.*?)^ *```", PAGE, re.M | re.S) if "ACL SETUSER" in found]
    text = " ".join(line.partition("#")[0].removesuffix("\\") for line in block.splitlines())
    found = re.search(r"ACL SETUSER \S+ on >\S+ (.*)", text)
    assert found, block
    return found[1].strip()


def rules_after(phrase: str) -> str:
    """Return the rules in the first code span after that phrase."""
    found = re.search(re.escape(phrase) + r"[^`]*`([^`]+)`", " ".join(PAGE.split()))
    assert found, f"docs/production.md does not say {phrase!r}"
    return found[1]


def test_the_contract_holds_with_the_rights(any_server: Server):
    assert " passed" in run_contract(any_server.url, rules=recipe())


def test_the_contract_holds_on_a_cluster_with_its_rights():
    tests = "tests/contract" if LONG else "tests/contract/test_allocate.py"
    assert " passed" in run_contract("cluster", rules=f"{recipe()} {rules_after('On a cluster, add')}", tests=tests)


def test_the_contract_fails_without_one_of_the_rights(server: Server):
    with pytest.raises(AssertionError, match=r"its ACL lacks \+"):
        run_contract(server.url, rules=recipe().replace("+@write", ""), tests="tests/contract/test_count.py")


async def test_the_shipped_scripts_work_with_the_rights(any_server: Server):
    """The contract tests replace the clock, and so do not need `+time`."""
    with any_server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">app", "~verify:*", *recipe().split())
        client.script_flush()
    async with backend_on(f"redis://app:app@127.0.0.1:{any_server.port}") as backend:
        await works(backend)
        health = await manager_on(backend).ping()
        assert (health.role, health.problems) == ("primary", ())
        values = RedisSession(backend, 60)
        await values.setex("verify:alice", 60, "code")
        assert await values.getdel("verify:alice") == "code"


async def test_the_rights_on_sentinels(server: Server):
    with one_sentinel_over(bundled(), Member(server, server.port)) as farm:
        farm.sentinels[0].command(
            "ACL", "SETUSER", "app", "on", ">app", *rules_after("On Sentinels, the user needs").split()
        )
        async with backend_on(f"{farm.url}?sentinel_username=app&sentinel_password=app") as backend:
            await works(backend)
            assert (await manager_on(backend).ping()).role == "primary"
