"""Clusters: calls find their slots, even while slots move and after a primary dies."""

from __future__ import annotations

import asyncio
import time

import pytest

from chuk_sessions import SessionUnavailableError
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.backends.redis.topology.slots import SLOTS
from chuk_sessions.core import ids, keys
from tests.conftest import bundled
from tests.harness.farms import ClusterFarm, Member, Proxy, cluster_farm, one_node, wait_for
from tests.harness.references import references
from tests.redis.tools import backend_on, echo, load_scripts, manager_at, manager_on, retries_of, slot_of_session
from tests.redis.topology_load import Load, load_on

CALL_TIMEOUT = 15.0
SLOTS_TO_MOVE = 100


@pytest.fixture
def farm(farms) -> ClusterFarm:
    """Return a shared cluster. Tests must not damage it, but may move slots."""
    farm = farms["cluster"]
    farm.empty()
    assert isinstance(farm, ClusterFarm)
    return farm


async def test_slots_move_under_load(farm, capsys):
    async with manager_at(farm.url) as manager, load_on(manager) as load:
        slots = [slot_of_session(session_id) for session_id in load.session_ids[::2][:SLOTS_TO_MOVE]]
        begun = time.monotonic()
        moved = sum([await asyncio.to_thread(_move_to_another_node, farm, slot) for slot in slots])
        took = time.monotonic() - begun
        retries = retries_of(manager)
    with capsys.disabled():
        print(
            f"\nCluster: {len(slots)} slots with {moved} keys moved in {took:.2f} s, {len(slots) / took:.0f} slots/s;"
        )
        print(
            f"{load.counted.total()} writes and {load.churned} short-lived sessions meanwhile, {retries} retries;",
            end=" ",
        )
        print(f"the slowest took {1000 * load.worst(load.session_ids):.0f} ms")
    assert moved >= len(slots)
    assert not load.errors
    assert await load.differences(farm.url) == {}


def _move_to_another_node(farm: ClusterFarm, slot: int) -> int:
    owners, source = farm.owners(), farm.owner(slot)
    return farm.move(slot, next(owner for owner in owners if owner is not source))


@pytest.mark.quiet
async def test_a_primary_is_killed_under_load(capsys):
    with cluster_farm(bundled()) as farm:
        async with (
            manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager,
            load_on(manager, keyed=True, churn_tasks=0) as load,
        ):
            affected, others = _partition(load, farm, killed := farm.members[1])
            await asyncio.sleep(0.3)
            killed.server.kill()
            at = time.monotonic()
            needed = await asyncio.to_thread(_wait_for_new_primary, farm, slot_of_session(affected[0]), killed)
            await asyncio.to_thread(wait_for, lambda: min(load.done.values()) > at, "all sessions written to again")
            took = max(load.done[session_id] for session_id in affected) - at
        lost = await load.differences(farm.url)
    with capsys.disabled():
        print(f"\nCluster: {needed:.2f} s to a new primary; its sessions written to again by {took:.2f} s;", end=" ")
        print(f"the others' slowest call took {1000 * load.worst(others):.0f} ms;", end=" ")
        print(f"{load.counted.total()} writes acknowledged, {-sum(lost.values())} of them not replicated in time")
    assert not load.errors
    assert load.worst(affected) < needed + 1.0
    assert load.worst(others) < 0.5
    assert not lost.keys() & set(others)


def _partition(load: Load, farm: ClusterFarm, member: Member) -> tuple[list[str], list[str]]:
    """Return the sessions whose slots that node has, and the others."""
    ranges = farm.slots_of(member)
    affected = [one for one in load.session_ids if any(slot_of_session(one) in slots for slots in ranges)]
    assert affected
    return affected, [one for one in load.session_ids if one not in affected]


def _wait_for_new_primary(farm: ClusterFarm, slot: int, old: Member) -> float:
    return wait_for(lambda: farm.owner(slot) is not old, "a new primary", CALL_TIMEOUT)


async def test_a_single_address_of_a_cluster(farm):
    one = farm.members[0]
    for url in (f"redis://127.0.0.1:{one.port}", f"redis+cluster://127.0.0.1:{one.port}/0"):
        async with manager_at(url) as manager:
            await _use_all_nodes(manager)


async def test_the_address_of_a_replica(farm):
    async with manager_at(f"redis://127.0.0.1:{farm.members[-1].port}/0") as manager:
        assert await manager.validate_session(await manager.allocate_session())


async def test_passwords():
    with cluster_farm(bundled(), password="of all/+@", replicas=False) as farm:
        async with manager_at(farm.url) as manager:
            await _use_all_nodes(manager)
        async with manager_at(farm.url.replace("of%20all", "guessed")) as manager:
            with pytest.raises(SessionUnavailableError) as caught:
                await manager.allocate_session()
        assert "guessed" not in str(caught.value)


async def test_tls_on_every_hop(certificates):
    with cluster_farm(bundled(), certificates=certificates) as farm:
        async with manager_at(farm.url) as manager:
            await _use_all_nodes(manager)
        async with manager_at(farm.url.replace(f",127.0.0.1:{farm.members[1].port}", "", 1)) as manager:
            await _use_all_nodes(manager)
        proxies = [member.proxy for member in farm.members if member.proxy is not None]
        spoken = b"".join(chunk for proxy in proxies for chunk in proxy.plainly)
        assert b"REPLCONF" in spoken, "the proxies record traffic without TLS"
        assert b"EVALSHA" not in spoken
        assert b"HELLO" not in spoken


async def test_an_allocation_without_a_reply_is_retried_in_its_slot(certificates):
    with cluster_farm(bundled(), replicas=False, certificates=certificates) as farm:
        for member in farm.members:
            load_scripts(member)
        async with manager_at(farm.url) as manager:
            await manager.allocate_session("before")
            losses = [
                member.proxy.lose_replies(4, scripts()["allocate"].sha) for member in farm.members if member.proxy
            ]
            session_ids = {await manager.allocate_session() for _ in range(40)}
            assert [one.met for one in losses] == [4, 4, 4]
            assert retries_of(manager) == 12, "no retry was redirected"
            assert set(await manager.list_sessions()) == set(references(["before", *session_ids]))


async def test_ipv6():
    with cluster_farm(bundled(), replicas=False, host="::1") as farm:
        async with manager_at(farm.url) as manager:
            await _use_all_nodes(manager)
        async with manager_at(f"redis://[::1]:{farm.members[2].port}") as manager:
            await _use_all_nodes(manager)


async def _use_all_nodes(manager) -> None:
    """Create a session in each bucket, and query all buckets at once."""
    before = await manager.count_sessions()
    session_ids = [ids.new_id(None, bucket) for bucket in range(ids.BUCKETS)]
    await asyncio.gather(*(manager.allocate_session(session_id) for session_id in session_ids))
    assert all(await asyncio.gather(*(manager.validate_session(session_id) for session_id in session_ids)))
    assert await manager.count_sessions() == before + ids.BUCKETS


async def test_a_half_migrated_slot(farm):
    async with manager_at(farm.url) as manager:
        session_id = await manager.allocate_session(custom_metadata={"n": 1})
        slot = slot_of_session(session_id)
        source = farm.owner(slot)
        target = next(owner for owner in farm.owners() if owner is not source)
        farm.begin_move(slot, source, target)
        farm.migrate([keys.session_keys("test", session_id).record], source, target)
        # The record is on the target (ASK), its indexes are still on the source (TRYAGAIN).
        found = await manager.get_session_metadata(session_id)
        assert found is not None
        assert found.custom_metadata == {"n": 1}
        assert await manager.update_session_metadata(session_id, {"n": 2})
        deletion = asyncio.create_task(manager.delete_session(session_id))
        await asyncio.to_thread(wait_for, lambda: retries_of(manager) >= 4, "TRYAGAIN")
        assert not deletion.done()
        farm.end_move(slot, source, target)
        assert await deletion


async def test_two_nodes_that_redirect_to_each_other():
    with cluster_farm(bundled(), replicas=False) as farm:
        async with manager_at(farm.url) as manager:
            session_id = ids.new_id(None, 7)
            slot = slot_of_session(session_id)
            source = farm.owner(slot)
            target = next(member for member in farm.members if member is not source)
            # The source redirects to the target, which does not know about it.
            source.command("CLUSTER", "SETSLOT", slot, "NODE", farm.identity(target))
            before, begun = retries_of(manager), time.monotonic()
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.to_thread(
                wait_for, lambda: retries_of(manager) >= before + 6, "a call that is redirected to and fro"
            )
            assert time.monotonic() - begun > 0.05, "redirects back off"
            target.command("CLUSTER", "SETSLOT", slot, "NODE", farm.identity(target))
            assert not await validation


async def test_slots_without_a_server():
    with cluster_farm(bundled(), "--cluster-require-full-coverage", "yes", replicas=False) as farm:
        async with manager_at(farm.url, call_timeout=1.0) as manager:
            session_id = await manager.allocate_session()
            lost = next(member for member in farm.members if member is not farm.owner(slot_of_session(session_id)))
            lost.server.kill()
            await asyncio.to_thread(wait_for, lambda: _is_down(farm, session_id), "CLUSTERDOWN")
            with pytest.raises(SessionUnavailableError):
                await manager.validate_session(session_id)
        async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.to_thread(lost.server.restart)
            assert await validation


def _is_down(farm: ClusterFarm, session_id: str) -> bool:
    return "cluster_state:fail" in str(farm.owner(slot_of_session(session_id)).command("CLUSTER", "INFO"))


def slot_maps_sent(member: Member) -> int:
    return int(member.info("commandstats").get("cmdstat_cluster|slots", {"calls": 0})["calls"])


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_calls_wait_for_a_node_without_slots_and_for_a_killed_node(scheme):
    with one_node(bundled(), "--appendonly", "yes", "--appendfsync", "always") as member:
        async with manager_at(f"{scheme}://127.0.0.1:{member.port}", call_timeout=CALL_TIMEOUT) as manager:
            allocation = asyncio.create_task(manager.allocate_session())
            await asyncio.to_thread(wait_for, lambda: slot_maps_sent(member) >= 2, "a map without slots")
            await asyncio.to_thread(member.command, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            session_id = await allocation
            member.server.kill()
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.to_thread(member.server.restart)
            assert await validation


async def test_calls_wait_for_a_node_that_sends_its_slot_map_slowly(farm):
    with Proxy(farm.members[0].port, delay=0.3) as proxy:
        async with manager_at(f"redis+cluster://127.0.0.1:{proxy.port}") as manager:
            assert await manager.validate_session(await manager.allocate_session())


@pytest.mark.quiet
async def test_another_node_is_queried_if_one_sends_no_slot_map(farm):
    with Proxy(farm.members[0].port, frozen=True) as silent:
        async with manager_at(f"redis://127.0.0.1:{silent.port},127.0.0.1:{farm.members[1].port}") as manager:
            begun = time.monotonic()
            assert await manager.validate_session(await manager.allocate_session())
            assert time.monotonic() - begun < 1.0
        # Any node can reply to this.
        async with backend_on(farm.url) as backend:
            assert await echo(backend, b"x") == b"x"


async def test_nodes_that_all_send_no_slot_map_are_an_outage(farm):
    with Proxy(farm.members[0].port, frozen=True) as one, Proxy(farm.members[1].port, frozen=True) as other:
        url = f"redis://127.0.0.1:{one.port},127.0.0.1:{other.port}"
        async with manager_at(url, call_timeout=1.5, retries=0) as manager:
            with pytest.raises(SessionUnavailableError):
                await manager.allocate_session()


async def test_endless_redirects_are_an_outage_at_the_deadline():
    with cluster_farm(bundled(), replicas=False) as farm:
        async with manager_at(farm.url, call_timeout=0.5) as manager:
            session_id = ids.new_id(None, 7)
            source = farm.owner(slot := slot_of_session(session_id))
            target = next(member for member in farm.members if member is not source)
            source.command("CLUSTER", "SETSLOT", slot, "NODE", farm.identity(target))
            with pytest.raises(SessionUnavailableError):
                await manager.validate_session(session_id)


@pytest.mark.parametrize("nodes", [1, 3])
async def test_a_call_redirected_while_the_backend_closes_uses_new_connections(farm, nodes):
    session_id = ids.new_id(None, 7)
    slot, hosts = slot_of_session(session_id), farm.url.removeprefix("redis://").split(",")
    source = farm.owner(slot)
    url = farm.url if nodes == 3 else next(f"redis://{host}" for host in hosts if host.endswith(f":{source.port}"))
    async with backend_on(url) as backend:
        manager = manager_on(backend)
        await manager.allocate_session(session_id)
        await asyncio.to_thread(_move_to_another_node, farm, slot)
        validation = asyncio.create_task(manager.validate_session(session_id))
        await asyncio.sleep(0)
        assert backend.stats().in_flight == 1
        await backend.aclose()
        assert await validation
