"""delete and events: each end is told once, with its reason."""

from __future__ import annotations

import pytest

from chuk_sessions import session_hash
from chuk_sessions.core import data_operations, keys, operations, statuses
from tests.harness.events import read_events, summary


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("session_id", [None, "own"])
async def test_a_deleted_session_ends_once_whichever_manager_deletes_it(world, session_id, events):
    found = await world.manager(events=True).allocate_session(session_id, "alice", ttl_hours=1)
    manager = world.manager(events=events)
    assert await manager.delete_session(found)
    assert not await manager.delete_session(found)
    assert await summary(world, found) == ["created", "ended deleted"]
    end = (await read_events(world))[-1][1]
    assert (end.owner, end.expires_at) == (b"alice", end.created + 3_600_000)


async def test_revoked_sessions_end_as_revoked(world):
    manager = world.manager(events=True)
    first, second, other, kept = [await manager.allocate_session(user_id="alice") for _ in range(4)]
    stray = await manager.allocate_session("own", "alice")
    assert await manager.revoke_session(session_hash(first))
    assert await manager.revoke_session(session_hash(second), user_id="alice")
    assert not await manager.revoke_session(session_hash(other), user_id="bob")
    assert await manager.revoke_user_sessions("alice", except_session_id=kept) == 2
    revoked = ["created", "ended revoked"]
    assert await summary(world, first, second, other, stray, kept) == [*revoked * 4, "created"]


async def test_a_deletion_under_an_old_id_ends_the_session_once(world):
    manager = world.manager(events=True)
    old = await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.delete_session(old)
    assert not await manager.delete_session(new)
    assert await summary(world, old, new) == ["created", "rotated > 1", "ended deleted"]


@pytest.mark.parametrize("idle", [None, 60])
async def test_a_session_that_has_expired_before_ends_as_expired(world, idle):
    manager = world.manager(events=True, idle_timeout_seconds=idle)
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    await world.advance(seconds=61 if idle else 3600)
    assert not await manager.delete_session(session_id)
    reply = await world.backend.run(operations.delete(keys.session_keys("test", session_id)))
    assert reply == [statuses.GONE]
    assert await summary(world, session_id) == ["created", "ended idle" if idle else "ended expired"]
    assert await manager.cleanup_expired_sessions() == 0


@pytest.mark.parametrize("field", [b"c", b"d", b"a", b"v", b"e"])
async def test_a_damaged_record_ends_too(world, field):
    manager = world.manager(events=True)
    session_id = await manager.allocate_session(user_id="alice")
    target = keys.session_keys("test", session_id)
    await world.backend.run(data_operations.merge(target, pairs=[field, b"soon"]))
    assert await world.backend.run(operations.delete(target)) == [statuses.OK]
    assert await summary(world, session_id) == ["created", "ended deleted"]
    end = (await read_events(world))[-1][1]
    assert end.owner == (None if field in b"cdv" else b"alice")


async def test_a_deletion_that_is_refused_has_no_event(world):
    manager = world.manager(events=True)
    session_id = await manager.allocate_session(user_id="alice")
    target = keys.session_keys("test", session_id)
    for conditions in ({"owner": b"bob"}, {"version": 7}, {"created": 1}, {"pointer": b"x" * 22}):
        await world.backend.run(operations.delete(target, **conditions))
    assert await summary(world, session_id) == ["created"]


async def test_without_a_letter_there_is_no_event(world):
    session_id = await world.manager(events=True).allocate_session()
    assert await world.backend.run(operations.delete(keys.session_keys("test", session_id), b"")) == [statuses.OK]
    assert await summary(world, session_id) == ["created"]
