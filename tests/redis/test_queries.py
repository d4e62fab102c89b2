"""Queries of the client itself to a slow server do not fail calls in flight on the same connection."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Member, SentinelFarm, cluster_farm, sentinel_farm
from tests.harness.servers import Server
from tests.redis.tools import backend_on, manager_on, until

MANY = 12
PAUSE_MS = 2000


@pytest.fixture(scope="module")
def cluster():
    """Run a cluster without replicas, so that there is no failover from a slow primary."""
    with cluster_farm(bundled(), replicas=False) as farm:
        yield farm


@pytest.fixture(scope="module")
def sentinels():
    """Run a farm whose sentinels wait a minute before a failover."""
    with sentinel_farm(bundled(), down_after_ms=60_000) as farm:
        yield farm


async def sessions_on(manager: SessionManager, number: int) -> list[str]:
    """Create sessions, and increment the counter of each once."""
    session_ids = [await manager.allocate_session() for _ in range(number)]
    assert set(await increment_all(manager, session_ids)) == {(True, 1)}
    return session_ids


async def increment_all(manager: SessionManager, session_ids: list[str]) -> list[object]:
    """Increment a counter of each session. Return the results or errors."""
    calls = (manager.increment_session_counter(session_id, "n") for session_id in session_ids)
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def query_repeatedly(backend: RedisBackend) -> None:
    """Let the topology query its nodes until this task is canceled."""
    topology = backend.client.topology()
    while True:
        for node in topology.nodes():
            await topology.on_connection_lost(node)
        await asyncio.sleep(0.05)


def is_queried(backend: RedisBackend, member: Member) -> bool:
    """Return whether a query to that server, or any other call, is in flight."""
    [node] = [node for node in backend.client.topology().nodes() if node.address.port == member.port]
    return any(slot.connection and slot.connection.in_flight for slot in node._connection_slots)


async def increment_while_paused(url: str, members: list[Member], calls_first: bool) -> list[object]:
    """Increment counters before or after queries to paused servers. Return the results or errors."""
    async with backend_on(url) as backend:
        manager = manager_on(backend)
        session_ids = await sessions_on(manager, MANY)
        for member in members:
            member.command("CLIENT", "PAUSE", PAUSE_MS)
        incrementing = asyncio.create_task(increment_all(manager, session_ids if calls_first else []))
        await until(lambda: incrementing.done() or backend.stats().in_flight > 0)
        querying = asyncio.create_task(query_repeatedly(backend))
        await until(lambda: is_queried(backend, members[0]))
        results = await incrementing or await increment_all(manager, session_ids)
        querying.cancel()
        # A connection without calls in flight may fail the probe of an idle connection, which costs no call.
        assert not (calls_first and backend.stats().reconnects)
        return results


@pytest.mark.parametrize("calls_first", [False, True])
@pytest.mark.parametrize("paused", [1, 3])
async def test_a_slow_node_of_a_cluster_keeps_its_calls(cluster: ClusterFarm, paused: int, calls_first: bool):
    results = await increment_while_paused(cluster.url, cluster.members[:paused], calls_first)
    assert set(results) == {(True, 2)}


@pytest.mark.parametrize("calls_first", [False, True])
async def test_a_slow_primary_keeps_its_calls(sentinels: SentinelFarm, calls_first: bool):
    results = await increment_while_paused(sentinels.url, [sentinels.primary()], calls_first)
    assert set(results) == {(True, 2)}


async def test_closing_does_not_wait_for_the_reply_to_a_query(own_server: Server):
    async with backend_on(own_server.url) as backend:
        await manager_on(backend).allocate_session()
        [node] = backend.client.topology().nodes()
        [connection] = node.open_connections()
        own_server.signal(signal.SIGSTOP)
        await until(lambda: connection.in_flight > 0)
        begun = time.monotonic()
        await backend.aclose()
        assert time.monotonic() - begun < 1
        own_server.signal(signal.SIGCONT)
