"""load: read a session and record the access, in one call."""

from __future__ import annotations

import pytest

from chuk_sessions import CorruptRecordError
from chuk_sessions.core import data_operations, operations, statuses
from chuk_sessions.core.keys import session_keys


async def test_returns_the_session_as_it_is_after_the_access(single):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": [1]})
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=30)
    loaded = await manager.load_session(session_id)
    assert loaded == await manager.get_session_metadata(session_id)
    assert loaded.last_accessed > before.last_accessed
    assert (loaded.user_id, loaded.custom_metadata, loaded.version) == ("alice", {"a": [1]}, before.version)
    assert (loaded.expires_at, loaded.created_at) == (before.expires_at, before.created_at)


@pytest.mark.parametrize(
    ("of_the_session", "of_the_manager", "keys"), [(None, None, [1]), (600, 600, [2]), (600, None, [1, 2])]
)
async def test_takes_one_call_unless_an_idle_session_is_unexpected(single, of_the_session, of_the_manager, keys):
    calls = []

    async def note(call):
        assert call.operation is operations.LOAD
        calls.append(len(call.keys))

    session_id = await single.manager(idle_timeout_seconds=of_the_session).allocate_session()
    await single.advance(seconds=1)
    assert await single.intercepted(note, idle_timeout_seconds=of_the_manager).load_session(session_id)
    assert calls == keys


@pytest.mark.parametrize("session_id", ["", "..", "from-a-cookie", "x" * 100_000, "\ud800", None, 7])
async def test_adopts_no_unknown_id(single, session_id):
    manager = single.manager()
    assert await manager.load_session(session_id) is None
    assert not await manager.validate_session(session_id)


async def test_returns_none_after_the_deadline_and_after_a_deletion(single):
    manager = single.manager()
    expiring, deleted = [await manager.allocate_session(ttl_hours=1) for _ in range(2)]
    assert await manager.delete_session(deleted)
    assert await manager.load_session(deleted) is None
    await single.advance(hours=1, ms=-1)
    assert await manager.load_session(expiring)
    await single.advance(ms=1)
    assert await manager.load_session(expiring) is None


async def test_keeps_an_idle_session_alive(world):
    manager = world.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session(user_id="alice")
    for _ in range(3):
        await world.advance(seconds=599)
        assert await world.manager().load_session(session_id)
        assert await manager.count_sessions("alice") == 1
    await world.advance(seconds=600)
    assert await manager.load_session(session_id) is None


async def test_writes_nothing_within_the_touch_interval(single):
    manager = single.manager(touch_interval_seconds=60)
    session_id = await manager.allocate_session()
    first = await manager.load_session(session_id)
    await single.advance(seconds=59)
    assert await manager.load_session(session_id) == first
    await single.advance(seconds=1)
    assert (await manager.load_session(session_id)).last_accessed > first.last_accessed


async def test_writes_nothing_when_the_clock_steps_back(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    first = await manager.load_session(session_id)
    await single.advance(seconds=-30)
    assert await manager.load_session(session_id) == first


async def test_follows_an_old_id_and_returns_the_session_under_it(single):
    manager = single.manager(idle_timeout_seconds=600)
    old = await manager.allocate_session(custom_metadata={"a": 1})
    new = await manager.rotate_session(old, grace_seconds=60)
    await single.advance(seconds=1)
    loaded = await single.manager().load_session(old)
    assert (loaded.session_id, loaded.custom_metadata) == (old, {"a": 1})
    assert loaded.last_accessed == (await manager.get_session_metadata(new)).last_accessed


async def test_follows_an_old_id_into_another_bucket(world):
    manager = world.manager(max_sessions_per_user=5, idle_timeout_seconds=600)
    await manager.allocate_session("own", user_id="alice")
    await manager.rotate_session("own", grace_seconds=60)
    await world.advance(seconds=1)
    assert (await world.manager().load_session("own")).user_id == "alice"


async def test_touches_as_validate_does(single):
    """Both share the steps of the access. This compares the records that they leave."""
    validated, loaded = [], []
    for access, records in ((operations.validate, validated), (operations.load, loaded)):
        manager, start = single.manager(idle_timeout_seconds=60), single.clock.now_ms()
        target = session_keys("test", await manager.allocate_session())
        for ms in (0, 1, 29_999, 30_000, 59_999, 60_000):
            await single.advance(ms=ms)
            reply = await single.backend.run(access(target, 40_000, 0, True))
            record = await single.backend.run(operations.read(target))
            fields = dict(zip(record[1][::2], record[1][1::2], strict=True)) if len(record) > 1 else {}
            records.append((reply[0], int(fields.get(b"a", start)) - start))
    assert validated == loaded
    assert [status for status, _ in loaded] == [statuses.OK] * 5 + [statuses.GONE]


@pytest.mark.parametrize("damage", [[b"a", b"soon"], [b"c", b"soon"], [b"m:x", b"{"]], ids=str)
async def test_raises_an_error_for_a_damaged_record(single, damage):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await single.backend.run(data_operations.merge(session_keys("test", session_id), pairs=damage))
    with pytest.raises(CorruptRecordError):
        await manager.load_session(session_id)
