"""rotate and events: a rotation is not an end, and a login is one."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionUnavailableError, session_hash
from chuk_sessions.core import keys, operations, statuses
from tests.harness.events import read_events, summary
from tests.harness.strays import HOME, bucket_of, id_in


@pytest.mark.parametrize("events", [False, True])
async def test_a_rotation_tells_the_new_id_whichever_manager_rotates(world, events):
    old = await world.manager(events=True).allocate_session(user_id="alice")
    new = await world.manager(events=events).rotate_session(old)
    assert await summary(world, old, new) == ["created", "rotated > 1"]
    assert await world.manager(events=events).delete_session(new)
    assert await summary(world, new) == ["ended deleted"]


async def test_a_rotation_that_is_repeated_has_one_event(world):
    old = await world.manager(events=True).allocate_session(user_id="alice")
    new = id_in(HOME, "alice")
    call = operations.rotate(keys.session_keys("test", old), keys.session_keys("test", new), grace_ms=0)
    for _ in range(2):
        assert await world.backend.run(call) == [statuses.OK]
    assert await summary(world, old, new) == ["created", "rotated > 1"]


async def test_a_rotation_to_the_home_bucket_has_one_event(world):
    manager = world.manager(events=True, max_sessions_per_user=5)
    old = next(name for name in (f"own-{n}" for n in range(9)) if bucket_of(name) != HOME)
    await manager.allocate_session(old, "alice")
    new = await manager.rotate_session(old)
    assert bucket_of(new) == HOME
    assert await summary(world, old, new) == ["created", "rotated > 1"]
    assert [entry.session_hash(bucket) for bucket, entry in await read_events(world)] == [session_hash(old)] * 2
    await manager.delete_session(new)
    assert await summary(world, old, new) == ["created", "rotated > 1", "ended deleted"]


@pytest.mark.parametrize("user", ["alice", "bob", None])
async def test_a_login_ends_the_old_session_and_begins_the_new_one(world, user):
    manager = world.manager(events=True)
    old = await manager.allocate_session(user_id=user, ttl_hours=1)
    new = await manager.rotate_session(old, user_id="alice", ttl_hours=2)
    assert await summary(world, old, new) == ["created", "ended replaced > 1", "logged_in"]
    found = {entry.kind: entry for _, entry in await read_events(world)}
    assert found["logged_in"].owner == b"alice"
    assert found["ended"].owner == (user.encode() if user else None)
    assert found["logged_in"].version == 2
    assert found["logged_in"].expires_at == found["logged_in"].created + 7_200_000


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("user", ["alice", "bob"])
async def test_at_login_the_record_decides_about_the_end_and_the_manager_about_the_beginning(world, user, events):
    old = await world.manager(events=not events).allocate_session(user_id=user)
    new = await world.manager(events=events).rotate_session(old, user_id="alice")
    told = ["logged_in"] if events else ["created", "ended replaced > 1"]
    assert await summary(world, old, new) == told


@pytest.mark.parametrize("user", ["bob", None])
async def test_a_login_round_that_loses_the_race_is_told_as_aborted(world, user):
    manager = world.manager(events=True)
    old = await manager.allocate_session(user_id=user)
    changes = []

    async def change(call):
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv) and not changes:
            changes.append(await manager.update_session_metadata(old, {"a": 1}))

    new = await world.intercepted(change, events=True).rotate_session(old, user_id="alice")
    assert changes == [True]
    assert await summary(world, old, new) == ["created", "ended replaced > 1", "logged_in"]
    others = [
        entry
        for bucket, entry in await read_events(world)
        if entry.session_hash(bucket) not in map(session_hash, (old, new))
    ]
    assert [(entry.kind, entry.reason) for entry in others] == [("logged_in", None), ("ended", "aborted")]


async def test_a_rotation_to_the_home_bucket_that_loses_the_race_tells_nothing_of_its_copy(world):
    manager = world.manager(events=True, max_sessions_per_user=5)
    old = next(name for name in (f"own-{n}" for n in range(9)) if bucket_of(name) != HOME)
    await manager.allocate_session(old, "alice")
    changes = []

    async def change(call):
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv) and not changes:
            changes.append(await manager.update_session_metadata(old, {"a": 1}))

    new = await world.intercepted(change, events=True, max_sessions_per_user=5).rotate_session(old)
    assert changes == [True]
    assert len(await read_events(world)) == 2
    assert await summary(world, old, new) == ["created", "rotated > 1"]


async def test_a_login_that_cannot_be_completed_is_told_as_aborted(world):
    manager = world.manager(events=True)
    guest = await manager.allocate_session()

    async def fail(call):
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv):
            raise SessionUnavailableError("test")

    with pytest.raises(SessionUnavailableError):
        await world.intercepted(fail, events=True).rotate_session(guest, user_id="alice")
    told = [(entry.kind, entry.reason) for bucket, entry in await read_events(world, [HOME])]
    assert told[-2:] == [("logged_in", None), ("ended", "aborted")]
    assert await summary(world, guest) == ["created"]
