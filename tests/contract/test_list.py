"""list: list the sessions of a sandbox or of a user, and revoke those of a user."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from chuk_sessions import SessionConflictError, session_hash
from chuk_sessions.core import data_operations, ids, index_operations, keys, operations
from tests.harness.references import listed, references


async def create_twenty(manager):
    created = [await manager.allocate_session(user_id="alice") for _ in range(12)]
    return created + [await manager.allocate_session(f"own-{number}", user_id="alice") for number in range(8)]


async def test_lists_the_live_sessions_of_a_sandbox(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id=f"user-{number % 7}") for number in range(40)]
    created.append(await manager.allocate_session("own"))
    expired = await manager.allocate_session(ttl_hours=1)
    await world.manager("other").allocate_session("elsewhere")
    await world.advance(hours=2)
    assert sorted(await manager.list_sessions()) == sorted(references(created))
    assert session_hash(expired) not in await manager.list_sessions()


@pytest.mark.parametrize("limit", [1, 7, 300])
async def test_lists_at_most_limit_sessions(world, limit):
    manager = world.manager()
    created = references([await manager.allocate_session() for _ in range(20)])
    found = await manager.list_sessions(limit=limit)
    assert len(found) == min(limit, 20)
    assert set(found) <= set(created)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "7", True])
async def test_refuses_invalid_limits(world, limit):
    with pytest.raises(ValueError, match="limit"):
        await world.manager().list_sessions(limit=limit)


async def test_lists_the_sessions_of_a_user_oldest_first(world):
    manager = world.manager()
    created = []
    for number in range(6):
        own = f"own-{number}" if number % 2 else None
        created.append(await manager.allocate_session(own, user_id="alice", custom_metadata={"n": number}))
        await world.advance(seconds=1)
    await manager.allocate_session(user_id="bob")
    found = await manager.list_user_sessions("alice")
    assert [session.reference for session in found] == references(created)
    assert [session.custom_metadata["n"] for session in found] == list(range(6))


async def test_lists_and_revokes_generated_ids_and_callers_ids(world):
    manager = world.manager()
    created = await create_twenty(manager)
    await manager.allocate_session(user_id="bob")
    assert len(await manager.list_user_sessions("alice")) == 20
    assert await manager.revoke_user_sessions("alice", except_session_id=created[3]) == 19
    assert await listed(manager, "alice") == references([created[3]])
    assert await manager.revoke_user_sessions("alice") == 1
    assert await manager.revoke_user_sessions("alice") == 0
    assert await manager.count_sessions() == 1


async def test_revoking_keeps_the_excepted_session_by_its_old_id(world):
    manager = world.manager()
    old = await manager.allocate_session(user_id="alice")
    await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.revoke_user_sessions("alice", except_session_id=old) == 1
    assert await manager.validate_session(new)


async def test_revoking_stays_in_the_sandbox(world):
    a, b = world.manager("a"), world.manager("b")
    await a.allocate_session(user_id="alice")
    kept = await b.allocate_session(user_id="alice")
    assert await a.revoke_user_sessions("alice") == 1
    assert await b.validate_session(kept)


async def test_users_with_the_same_hash_stay_apart(world, monkeypatch):
    monkeypatch.setattr(ids, "user_hash", lambda user_id: 7)
    manager = world.manager()
    own = await manager.allocate_session("s1", user_id="alice")
    foreign = await manager.allocate_session("s2", user_id="bob")
    assert await listed(manager, "alice") == references([own])
    assert await manager.revoke_user_sessions("alice") == 1
    assert await manager.validate_session(foreign)


async def test_revoking_gives_up_when_new_sessions_keep_coming(world):
    manager = world.manager()
    await manager.allocate_session(user_id="alice")

    async def log_in_again(call):
        if call.operation is operations.DELETE:
            await manager.allocate_session(user_id="alice")

    with pytest.raises(SessionConflictError, match=r"; \d+ were revoked"):
        await world.intercepted(log_in_again).revoke_user_sessions("alice")
    assert await manager.count_sessions("alice") == 1


async def test_a_users_list_leaves_out_unreadable_records(world, caplog):
    manager = world.manager()
    good, bad = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    await world.backend.run(data_operations.merge(keys.session_keys("test", bad), pairs=[b"c", b"soon"]))
    assert await listed(manager, "alice") == references([good])
    assert "cannot be read" in caplog.text
    assert bad not in caplog.text


async def test_iterates_over_the_live_sessions_of_a_sandbox(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id=f"user-{number % 7}") for number in range(40)]
    created.append(await manager.allocate_session("own"))
    await manager.allocate_session(ttl_hours=1)
    await world.manager("other").allocate_session("elsewhere")
    await world.advance(hours=2)
    assert sorted([reference async for reference in manager.iter_sessions()]) == sorted(references(created))


async def test_iterates_over_the_sessions_of_a_user(world):
    manager = world.manager()
    created = [await manager.allocate_session(own, user_id="alice") for own in (None, "own-1", None, "own-2")]
    await manager.allocate_session(user_id="bob")
    found = [session async for session in manager.iter_user_sessions("alice")]
    assert sorted(session.reference for session in found) == sorted(references(created))
    assert found != []
    with pytest.raises(ValueError, match="user_id"):
        manager.iter_user_sessions("")


async def test_an_iteration_can_stop_early(world):
    manager = world.manager()
    created = references([await manager.allocate_session() for _ in range(20)])
    async with aclosing(manager.iter_sessions()) as found:
        async for reference in found:
            assert reference in created
            break
    assert await manager.count_sessions() == 20


async def create_in_bucket(manager, bucket, number):
    """Create sessions in one bucket, and return their ids."""
    created = [ids.new_id(None, bucket) for _ in range(number)]
    for session_id in created:
        await manager.allocate_session(session_id)
    return created


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_of_a_bucket_hold_each_session_once(world, limit, monkeypatch):
    monkeypatch.setattr(index_operations, "PAGE_LIMIT", limit)
    manager = world.manager()
    created = await create_in_bucket(manager, 7, 10)
    assert sorted(await manager.list_sessions()) == sorted(references(created))
    assert sorted([reference async for reference in manager.iter_sessions()]) == sorted(references(created))


async def test_an_iteration_includes_sessions_whose_expiry_moves_meanwhile(world, monkeypatch):
    monkeypatch.setattr(index_operations, "PAGE_LIMIT", 2)
    manager = world.manager(idle_timeout_seconds=600)
    created = await create_in_bucket(manager, 7, 12)
    seen = []
    async for reference in manager.iter_sessions():
        seen.append(reference)
        if len(seen) < 40:
            await world.advance(seconds=1)
            assert await manager.validate_session(created[len(seen) % 12])
    assert set(seen) == set(references(created))


async def test_a_list_names_each_session_once_although_its_expiry_moves_meanwhile(world, monkeypatch):
    monkeypatch.setattr(index_operations, "PAGE_LIMIT", 2)
    manager = world.manager(idle_timeout_seconds=600)
    created = await create_in_bucket(manager, 7, 12)
    calls = 0

    async def touch(call):
        nonlocal calls
        if call.operation is index_operations.LIST and call.keys[0] == keys.index("test", 7).deadlines and calls < 12:
            calls += 1
            await world.advance(seconds=1)
            assert await manager.validate_session(created[calls - 1])

    assert sorted(await world.intercepted(touch).list_sessions()) == sorted(references(created))
    assert calls > 6
