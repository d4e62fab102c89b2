"""Servers that announce addresses which clients cannot reach, as with NAT: `address_remap` translates them."""

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
from tests.harness.ports import free_port
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, manager_on, slot_of_session


@dataclass
class Network:
    """A cluster that announces unreachable addresses.

    Attributes:
        farm: the cluster; its nodes announce ports that nothing listens on.
        ports: the real port of each announced one.
        remapped: the addresses that were passed to `remap`.

    """

    farm: ClusterFarm
    ports: dict[int, int]
    remapped: set[tuple[str, int]] = field(default_factory=set)

    def remap(self, address: tuple[str, int]) -> tuple[str, int]:
        self.remapped.add(address)
        assert address[0] == "127.0.0.1"
        return "localhost", self.ports[address[1]]


@pytest.fixture
def network() -> Iterator[Network]:
    with cluster_farm(bundled(), replicas=False) as farm:
        ports = {free_port(): member.port for member in farm.members}
        for port, member in zip(ports, farm.members, strict=True):
            member.command("CONFIG", "SET", "cluster-announce-port", port)
        for member in farm.members:
            wait_for(lambda member=member: _ports_announced_by(member) == set(ports), "the announced ports")  # type: ignore[misc]
        yield Network(farm, ports)


def _ports_announced_by(member) -> set[int]:
    return {int(row[2][1]) for row in member.command("CLUSTER", "SLOTS")}


async def test_a_cluster_behind_nat(network: Network):
    first = network.farm.members[0]
    for url in (f"redis://localhost:{first.port}", f"redis+cluster://localhost:{first.port}"):
        async with backend_on(url, address_remap=network.remap) as backend:
            manager = manager_on(backend)
            session_ids = await asyncio.gather(*(manager.allocate_session() for _ in range(60)))
            assert all([await manager.validate_session(session_id) for session_id in session_ids])
            assert len({node.address for node in backend.stats().nodes}) >= 3
    assert {port for _, port in network.remapped} == set(network.ports)


async def test_without_a_remap_the_nodes_are_unreachable(network: Network):
    async with backend_on(f"redis+cluster://localhost:{network.farm.members[0].port}", call_timeout=0.5) as backend:
        with pytest.raises(SessionUnavailableError):
            await manager_on(backend).allocate_session()


async def test_redirects_are_remapped(network: Network):
    source, target = network.farm.members[0], network.farm.members[1]
    async with backend_on(f"redis+cluster://localhost:{source.port}", address_remap=network.remap) as backend:
        manager = manager_on(backend)
        session_id = await anext(_sessions_in(manager, range(SLOTS // 3)))
        slot = slot_of_session(session_id)
        network.farm.begin_move(slot, source, target)
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        network.farm.migrate(keys, source, target)
        assert await manager.validate_session(session_id), "ASK contains an announced address"
        for member in (target, source):
            member.command("CLUSTER", "SETSLOT", slot, "NODE", network.farm.identity(target))
        network.remapped.clear()
        assert await manager.validate_session(session_id), "MOVED contains an announced address"
        assert network.remapped


async def _sessions_in(manager, slots: range):
    while True:
        session_id = await manager.allocate_session()
        if slot_of_session(session_id) in slots:
            yield session_id


async def test_the_address_of_a_primary_from_sentinels_is_remapped(server: Server):
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(server.port))
        farm = stack.enter_context(one_sentinel_over(bundled(), Member(server, server.port)))
        remapped = []

        def remap(address: tuple[str, int]) -> tuple[str, int]:
            remapped.append(address)
            return "localhost", proxy.port

        async with backend_on(farm.url, address_remap=remap) as backend:
            assert await echo(backend, b"x") == b"x"
        assert set(remapped) == {("127.0.0.1", server.port)}
        assert proxy.connections


def test_the_remap_must_be_callable():
    with pytest.raises(ValueError, match="address_remap must be callable"):
        redis.factory("redis://localhost", address_remap="nat")
