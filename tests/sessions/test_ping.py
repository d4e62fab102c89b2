"""`SessionManager.ping()`: the health of the store, for readiness probes."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest

from chuk_sessions import Health, ManagerClosedError, ProviderError, SessionManager, SessionUnavailableError
from chuk_sessions.backends.redis.health import reports
from chuk_sessions.backends.redis.net.node import Node
from chuk_sessions.backends.redis.options import Address, Options
from tests.conftest import bundled
from tests.harness.farms import cluster_farm, wait_for
from tests.harness.ports import free_port
from tests.harness.servers import Server, running, version_of
from tests.redis.tools import backend_on, manager_on


@pytest.fixture
def own_server() -> Iterator[Server]:
    with running(bundled(), "--save", "900 1") as server:
        yield server


async def health_of(url: str) -> Health:
    async with backend_on(url, call_timeout=3.0) as backend:
        return await manager_on(backend).ping()


async def test_every_backend_answers(single):
    health = await single.manager().ping()
    assert 0 <= health.latency_ms < 5000
    assert health.server
    assert health.role in ("primary", None)
    assert health.problems == ()


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_farms_answer(farms, kind):
    health = await health_of(farms[kind].url)
    assert (health.server, health.role, health.problems) == ("valkey", "primary", ())
    assert health.version


async def test_a_server_reports_name_version_and_role(any_server: Server):
    health = await health_of(any_server.url)
    assert f"{health.server} {health.version}" == version_of(any_server).lower()
    assert health.role == "primary"


async def test_an_unreachable_store_raises_an_error():
    async with backend_on(f"redis://127.0.0.1:{free_port()}", call_timeout=0.3) as backend:
        with pytest.raises(SessionUnavailableError):
            await manager_on(backend).ping()


async def test_a_custom_provider_that_fails_raises_an_error():
    @asynccontextmanager
    async def broken():
        raise OSError("no such disk")
        yield

    with pytest.raises(ProviderError):
        await SessionManager("app", broken).ping()


async def test_a_closed_manager_raises_an_error():
    manager = SessionManager("app")
    await manager.aclose()
    with pytest.raises(ManagerClosedError):
        await manager.ping()


async def test_problems_of_a_server_are_reported(own_server: Server):
    address = f"127.0.0.1:{own_server.port}"
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", int(int(client.info("memory")["used_memory"]) * 1.05))
        shutil.rmtree(str(own_server.folder))
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that fails")
    evicts, fails, full = (await health_of(f"redis://{address}")).problems
    assert evicts == f"{address} evicts keys when memory is full (maxmemory-policy allkeys-lru)"
    assert fails == f"{address} failed to save its data, and may refuse writes (MISCONF)"
    assert re.fullmatch(rf"{address} uses \d+ % of its maxmemory", full)


@pytest.mark.parametrize("rules", [["+role"], ["+info"]])
async def test_a_replica_is_a_problem(own_server: Server, rules: list[str]):
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">few", "+@connection", *rules)
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    node = Node(Address("127.0.0.1", own_server.port), Options(username="few", password="few"))
    (report,) = await reports([node], asyncio.get_running_loop().time() + 5)
    await node.aclose()
    assert report.role == "replica"
    assert report.problems == (f"127.0.0.1:{own_server.port} is a replica: it takes no writes",)


async def test_values_that_acl_rules_hide_are_none(own_server: Server):
    with own_server.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">few", "+@connection")
    health = await health_of(f"redis://few:few@127.0.0.1:{own_server.port}")
    assert (health.server, health.version, health.role, health.problems) == (None, None, None, ())


async def test_a_node_of_a_cluster_that_is_down_is_a_problem():
    with cluster_farm(bundled(), replicas=False) as farm:
        async with backend_on(farm.url, call_timeout=10.0) as backend:
            manager = manager_on(backend)
            assert (await manager.ping()).problems == ()
            farm.members[1].server.signal(19)
            started = time.monotonic()
            health = await _ping_another_node(manager)
            assert time.monotonic() - started < 5
            (problem,) = health.problems
            assert problem.startswith(f"127.0.0.1:{farm.members[1].port} does not answer: ")
            farm.members[1].server.signal(18)


async def _ping_another_node(manager: SessionManager) -> Health:
    """Ping until the PING goes to a node that does not hang. The backend sends it to any node."""
    while True:
        try:
            return await asyncio.wait_for(manager.ping(), 1.5)
        except (TimeoutError, ProviderError):
            continue
