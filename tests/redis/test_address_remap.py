"""Nodes that name addresses which cannot be reached from here, as behind NAT: `address_remap` says where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from chuk_sessions import SessionUnavailableError
from chuk_sessions.backends.redis.topology.slots import SLOTS
from chuk_sessions.providers import redis
from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Member, Proxy, cluster_farm, one_sentinel_over, wait_for
from tests.harness.farms.member import free_port
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, manager_on, slot_of_session


@dataclass
class Network:
    """What is inside, and the way there.

    Attributes:
        farm: the cluster; its nodes name ports that nothing listens on.
        ways: those ports, and where the nodes are.
        asked: what the remap was asked for.

    """

    farm: ClusterFarm
    ways: dict[int, int]
    asked: set[tuple[str, int]] = field(default_factory=set)

    def remap(self, address: tuple[str, int]) -> tuple[str, int]:
        self.asked.add(address)
        assert address[0] == "127.0.0.1"
        return "localhost", self.ways[address[1]]


@pytest.fixture
def inside() -> Iterator[Network]:
    with cluster_farm(bundled(), replicas=False) as farm:
        ways = {free_port(): member.port for member in farm.members}
        for port, member in zip(ways, farm.members, strict=True):
            member.command("CONFIG", "SET", "cluster-announce-port", port)
        for member in farm.members:
            wait_for(lambda member=member: _named_by(member) == set(ways), "the ports that are announced")  # type: ignore[misc]
        yield Network(farm, ways)


def _named_by(member) -> set[int]:
    return {int(row[2][1]) for row in member.command("CLUSTER", "SLOTS")}


async def test_a_cluster_behind_nat(inside: Network):
    first = inside.farm.members[0]
    for url in (f"redis://localhost:{first.port}", f"redis+cluster://localhost:{first.port}"):
        async with backend_on(url, address_remap=inside.remap) as backend:
            manager = manager_on(backend)
            made = await asyncio.gather(*(manager.allocate_session() for _ in range(60)))
            assert all([await manager.validate_session(session_id) for session_id in made])
            assert len({node.address for node in backend.stats().nodes}) >= 3
    assert {port for _, port in inside.asked} == set(inside.ways)


async def test_without_it_the_nodes_are_out_of_reach(inside: Network):
    async with backend_on(f"redis+cluster://localhost:{inside.farm.members[0].port}", call_timeout=0.5) as backend:
        with pytest.raises(SessionUnavailableError):
            await manager_on(backend).allocate_session()


async def test_slots_that_move_are_followed(inside: Network):
    source, target = inside.farm.members[0], inside.farm.members[1]
    async with backend_on(f"redis+cluster://localhost:{source.port}", address_remap=inside.remap) as backend:
        manager = manager_on(backend)
        session_id = await anext(_sessions_in(manager, range(SLOTS // 3)))
        slot = slot_of_session(session_id)
        inside.farm.begin_move(slot, source, target)
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        inside.farm.migrate(keys, source, target)
        assert await manager.validate_session(session_id), "ASK names an address of the inside"
        for member in (target, source):
            member.command("CLUSTER", "SETSLOT", slot, "NODE", inside.farm.identity(target))
        inside.asked.clear()
        assert await manager.validate_session(session_id), "and so does MOVED"
        assert inside.asked


async def _sessions_in(manager, slots: range):
    while True:
        session_id = await manager.allocate_session()
        if slot_of_session(session_id) in slots:
            yield session_id


async def test_a_primary_that_sentinels_name_by_another_address(server: Server):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(server.port))
        farm = stack.enter_context(one_sentinel_over(bundled(), Member(server, server.port)))
        asked = []

        def remap(address: tuple[str, int]) -> tuple[str, int]:
            asked.append(address)
            return "localhost", proxy.port

        async with backend_on(farm.url, address_remap=remap) as backend:
            assert await echo(backend, b"x") == b"x"
        assert set(asked) == {("127.0.0.1", server.port)}
        assert proxy.connections


def test_it_must_be_callable():
    with pytest.raises(ValueError, match="address_remap must be callable"):
        redis.factory("redis://localhost", address_remap="nat")
