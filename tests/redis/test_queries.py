"""Questions that the client asks for itself cost a slow server's connection none of the calls under way."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Member, SentinelFarm, cluster_farm, sentinel_farm
from tests.redis.tools import backend_on, manager_on, until

MANY = 12
PAUSE_MS = 2000


@pytest.fixture(scope="module")
def cluster():
    """A cluster of primaries alone: nobody takes over from one that is slow."""
    with cluster_farm(bundled(), replicas=False) as farm:
        yield farm


@pytest.fixture(scope="module")
def sentinels():
    """A farm whose sentinels are in no hurry."""
    with sentinel_farm(bundled(), down_after_ms=60_000) as farm:
        yield farm


async def sessions_on(manager: SessionManager, number: int) -> list[str]:
    """New sessions, which have been counted up once."""
    session_ids = [await manager.allocate_session() for _ in range(number)]
    assert set(await count_up(manager, session_ids)) == {(True, 1)}
    return session_ids


async def count_up(manager: SessionManager, session_ids: list[str]) -> list[object]:
    """What increments of all of them return, or raise."""
    calls = (manager.increment_session_counter(session_id, "n") for session_id in session_ids)
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def look_around(backend: RedisBackend) -> None:
    """Have the topology look around until this task is cancelled."""
    topology = backend.client.topology()
    while True:
        for node in topology.nodes():
            await topology.on_connection_lost(node)
        await asyncio.sleep(0.05)


def is_asked(backend: RedisBackend, member: Member) -> bool:
    """Whether a question to that server, or any other call, is under way."""
    [node] = [node for node in backend.client.topology().nodes() if node.address.port == member.port]
    return any(lane.connection is not None and lane.connection.in_flight for lane in node._connection_slots)


async def count_up_while_paused(url: str, members: list[Member], calls_first: bool) -> list[object]:
    """What increments return that are sent before or after questions to servers that are paused."""
    async with backend_on(url) as backend:
        manager = manager_on(backend)
        session_ids = await sessions_on(manager, MANY)
        for member in members:
            member.command("CLIENT", "PAUSE", PAUSE_MS)
        counting = asyncio.create_task(count_up(manager, session_ids if calls_first else []))
        await until(lambda: counting.done() or backend.stats().in_flight > 0)
        looking = asyncio.create_task(look_around(backend))
        await until(lambda: is_asked(backend, members[0]))
        results = await counting or await count_up(manager, session_ids)
        looking.cancel()
        assert backend.stats().reconnects == 0
        return results


@pytest.mark.parametrize("calls_first", [False, True])
@pytest.mark.parametrize("paused", [1, 3])
async def test_a_slow_node_of_a_cluster_keeps_its_calls(cluster: ClusterFarm, paused: int, calls_first: bool):
    results = await count_up_while_paused(cluster.url, cluster.members[:paused], calls_first)
    assert set(results) == {(True, 2)}


@pytest.mark.parametrize("calls_first", [False, True])
async def test_a_slow_primary_keeps_its_calls(sentinels: SentinelFarm, calls_first: bool):
    results = await count_up_while_paused(sentinels.url, [sentinels.primary()], calls_first)
    assert set(results) == {(True, 2)}
