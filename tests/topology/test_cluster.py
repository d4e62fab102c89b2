"""Cluster: slots are found, also while they move and when their primary dies."""

from __future__ import annotations

import asyncio
import time

import pytest

from chuk_sessions import SessionUnavailableError, ids, keys
from chuk_sessions.backends.redis.scripts import scripts
from tests.conftest import bundled
from tests.farm import ClusterFarm, Member, cluster_farm, wait_for
from tests.topology.load import Load, load_on, manager_at, retries_of, slot_of_session

CALL_TIMEOUT = 15.0
SLOTS_TO_MOVE = 100


@pytest.fixture
def farm(farms) -> ClusterFarm:
    """One that is left whole, though not with every slot where it was."""
    farm = farms["cluster"]
    farm.empty()
    assert isinstance(farm, ClusterFarm)
    return farm


async def test_slots_move_under_load(farm, capsys):
    async with manager_at(farm.url) as manager, load_on(manager) as load:
        slots = [slot_of_session(session_id) for session_id in load.session_ids[::2][:SLOTS_TO_MOVE]]
        begun = time.monotonic()
        moved = sum([await asyncio.to_thread(_move_on, farm, slot) for slot in slots])
        took = time.monotonic() - begun
        retries = retries_of(manager)
    with capsys.disabled():
        print(
            f"\nCluster: {len(slots)} slots with {moved} keys moved in {took:.2f} s, {len(slots) / took:.0f} slots/s;"
        )
        print(f"{load.counted.total()} writes and {load.lives} lives meanwhile, {retries} calls tried again;", end=" ")
        print(f"the slowest took {1000 * load.worst(load.session_ids):.0f} ms")
    assert moved >= len(slots)
    assert not load.errors
    assert await load.lost(farm.url) == {}


def _move_on(farm: ClusterFarm, slot: int) -> int:
    owners, source = farm.owners(), farm.owner(slot)
    return farm.move(slot, next(owner for owner in owners if owner is not source))


async def test_a_primary_is_killed_under_load(capsys):
    with cluster_farm(bundled()) as farm:
        async with (
            manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager,
            load_on(manager, safe=True, lives=0) as load,
        ):
            mine, others = _parted(load, farm, killed := farm.members[1])
            await asyncio.sleep(0.3)
            killed.server.kill()
            at = time.monotonic()
            needed = await asyncio.to_thread(_wait_for_another, farm, slot_of_session(mine[0]), killed)
            await asyncio.to_thread(wait_for, lambda: min(load.done.values()) > at, "all sessions written to again")
            took = max(load.done[session_id] for session_id in mine) - at
        lost = await load.lost(farm.url)
    with capsys.disabled():
        print(f"\nCluster: {needed:.2f} s to a new primary; its sessions written to again by {took:.2f} s;", end=" ")
        print(f"the others' slowest call took {1000 * load.worst(others):.0f} ms;", end=" ")
        print(f"{load.counted.total()} writes acknowledged, {-sum(lost.values())} of them not replicated in time")
    assert not load.errors
    assert load.worst(mine) < needed + 1.0
    assert load.worst(others) < 0.5
    assert not lost.keys() & set(others)


def _parted(load: Load, farm: ClusterFarm, member: Member) -> tuple[list[str], list[str]]:
    """Sessions whose slots that member has, and the others."""
    owned = [range(first, last + 1) for first, last, owner in farm.ranges() if owner is member]
    mine = [one for one in load.session_ids if any(slot_of_session(one) in slots for slots in owned)]
    assert mine
    return mine, [one for one in load.session_ids if one not in mine]


def _wait_for_another(farm: ClusterFarm, slot: int, old: Member) -> float:
    return wait_for(lambda: farm.owner(slot) is not old, "a new primary", CALL_TIMEOUT)


async def test_one_address_that_turns_out_to_be_a_clusters(farm):
    one = farm.members[0]
    for url in (f"redis://127.0.0.1:{one.port}", f"redis+cluster://127.0.0.1:{one.port}/0"):
        async with manager_at(url) as manager:
            await _use_all_nodes(manager)


async def test_a_replica_is_as_good_an_address_as_any(farm):
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
        assert b"REPLCONF" in spoken, "what the proxies hear without TLS is recorded"
        assert b"EVALSHA" not in spoken
        assert b"HELLO" not in spoken


async def test_a_lost_allocation_is_repeated_in_its_slot(certificates):
    with cluster_farm(bundled(), replicas=False, certificates=certificates) as farm:
        async with manager_at(farm.url) as manager:
            await manager.allocate_session("before")
            losses = [
                member.proxy.lose_replies(4, scripts()["allocate"].sha) for member in farm.members if member.proxy
            ]
            made = {await manager.allocate_session() for _ in range(40)}
            assert [one.met for one in losses] == [4, 4, 4]
            assert retries_of(manager) == 12, "none of them was moved on"
            assert set(await manager.list_sessions()) == {"before", *made}


async def test_ipv6():
    with cluster_farm(bundled(), replicas=False, host="::1") as farm:
        async with manager_at(farm.url) as manager:
            await _use_all_nodes(manager)
        async with manager_at(f"redis://[::1]:{farm.members[2].port}") as manager:
            await _use_all_nodes(manager)


async def _use_all_nodes(manager) -> None:
    """One session in each bucket, then a question to all buckets at once."""
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
        farm.migrate([keys.place("test", session_id).record], source, target)
        # The record is over there (ASK), its indexes are still here (TRYAGAIN).
        found = await manager.get_session_metadata(session_id)
        assert found is not None
        assert found.custom_metadata == {"n": 1}
        assert await manager.update_session_metadata(session_id, {"n": 2})
        deletion = asyncio.create_task(manager.delete_session(session_id))
        await asyncio.to_thread(wait_for, lambda: retries_of(manager) >= 4, "TRYAGAIN")
        assert not deletion.done()
        farm.end_move(slot, source, target)
        assert await deletion


async def test_two_nodes_that_name_each_other():
    with cluster_farm(bundled(), replicas=False) as farm:
        async with manager_at(farm.url) as manager:
            session_id = ids.new_id(None, 7)
            slot = slot_of_session(session_id)
            source = farm.owner(slot)
            target = next(member for member in farm.members if member is not source)
            # The source takes it to be with the target, which has heard nothing of that.
            source.command("CLUSTER", "SETSLOT", slot, "NODE", farm.identity(target))
            before, begun = retries_of(manager), time.monotonic()
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.to_thread(wait_for, lambda: retries_of(manager) >= before + 6, "a call that goes to and fro")
            assert time.monotonic() - begun > 0.05, "it takes its time"
            target.command("CLUSTER", "SETSLOT", slot, "NODE", farm.identity(target))
            assert not await validation


async def test_slots_that_nobody_serves():
    with cluster_farm(bundled(), "--cluster-require-full-coverage", "yes", replicas=False) as farm:
        async with manager_at(farm.url, call_timeout=1.0) as manager:
            session_id = await manager.allocate_session()
            gone = next(member for member in farm.members if member is not farm.owner(slot_of_session(session_id)))
            gone.server.kill()
            await asyncio.to_thread(wait_for, lambda: _is_down(farm, session_id), "CLUSTERDOWN")
            with pytest.raises(SessionUnavailableError):
                await manager.validate_session(session_id)
        async with manager_at(farm.url, call_timeout=CALL_TIMEOUT) as manager:
            validation = asyncio.create_task(manager.validate_session(session_id))
            await asyncio.to_thread(gone.server.restart)
            assert await validation


def _is_down(farm: ClusterFarm, session_id: str) -> bool:
    return "cluster_state:fail" in str(farm.owner(slot_of_session(session_id)).command("CLUSTER", "INFO"))
