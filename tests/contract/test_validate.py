"""validate: tell whether a session is alive, and record the access."""

from __future__ import annotations

import pytest

HOSTILE: list[object] = [
    "",
    "..",
    "../../etc/passwd",
    "a{b}",
    "{",
    "*",
    "a\r\nGET x",
    "\x00",
    "\ud800",
    "x" * 100_000,
    None,
    7,
    b"s1",
    [],
]


async def test_records_the_access_and_changes_no_deadline(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=30)
    assert await manager.validate_session(session_id)
    after = await manager.get_session_metadata(session_id)
    assert after.last_accessed > before.last_accessed
    assert after.expires_at == before.expires_at
    assert after.version == before.version


async def test_a_session_expires_at_its_deadline(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=2)
    await single.advance(hours=2, ms=-1)
    assert await manager.validate_session(session_id)
    await single.advance(ms=1)
    assert not await manager.validate_session(session_id)


@pytest.mark.parametrize("session_id", HOSTILE, ids=lambda value: repr(value)[:20])
async def test_a_malformed_id_is_not_valid(single, session_id):
    manager = single.manager()
    await manager.allocate_session("s1")
    assert await manager.validate_session(session_id) is False
    assert await manager.load_session(session_id) is None
    assert await manager.get_session_info(session_id) is None
    assert await manager.get_session_metadata(session_id) is None
    assert await manager.set_session_ttl(session_id, 1) is False
    assert await manager.rate_limit_session(session_id, "api", 1, 60) is None
    assert await manager.update_session_metadata(session_id, {"a": 1}) is False
    assert await manager.increment_session_counter(session_id, "n") is None
    assert await manager.extend_session_ttl(session_id, 1) is False
    assert await manager.rotate_session(session_id) is None
    assert await manager.delete_session(session_id) is False


async def test_an_unknown_id_is_not_adopted(single):
    manager = single.manager()
    assert not await manager.validate_session("from-a-cookie")
    assert await manager.get_session_info("from-a-cookie") is None


async def test_within_the_touch_interval_nothing_is_written(single):
    manager = single.manager(touch_interval_seconds=60)
    session_id = await manager.allocate_session()
    first = (await manager.get_session_metadata(session_id)).last_accessed
    await single.advance(seconds=59)
    assert await manager.validate_session(session_id)
    assert (await manager.get_session_metadata(session_id)).last_accessed == first
    await single.advance(seconds=1)
    assert await manager.validate_session(session_id)
    assert (await manager.get_session_metadata(session_id)).last_accessed > first


async def test_a_session_expires_without_an_access_during_its_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session(ttl_hours=1)
    for _ in range(3):
        await single.advance(seconds=599)
        assert await manager.validate_session(session_id)
    await single.advance(seconds=600)
    assert not await manager.validate_session(session_id)


async def test_the_deadline_holds_however_often_a_session_is_validated(single):
    manager = single.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session(ttl_hours=1)
    for _ in range(7):
        await single.advance(seconds=510)
        assert await manager.validate_session(session_id)
    await single.advance(seconds=30)
    assert not await manager.validate_session(session_id)


async def test_a_long_touch_interval_of_another_manager_does_not_let_a_session_expire(single):
    session_id = await single.manager(idle_timeout_seconds=60).allocate_session()
    other = single.manager(touch_interval_seconds=3600)
    for _ in range(4):
        await single.advance(seconds=31)
        assert await other.validate_session(session_id)


@pytest.mark.parametrize(
    ("of_the_session", "of_the_manager", "declared"), [(None, None, [1]), (600, 600, [2]), (600, None, [1, 2])]
)
async def test_a_call_declares_the_index_only_if_it_may_need_it(single, of_the_session, of_the_manager, declared):
    """A call with two keys costs the server more. Nearly all sessions without an idle timeout need only one key."""
    calls = []

    async def note(call):
        calls.append(len(call.keys))

    session_id = await single.manager(idle_timeout_seconds=of_the_session).allocate_session()
    await single.advance(seconds=1)
    assert await single.intercepted(note, idle_timeout_seconds=of_the_manager).validate_session(session_id)
    assert calls == declared


async def test_a_touch_moves_the_idle_deadline_in_the_index_too(world):
    manager = world.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session(user_id="alice")
    for _ in range(3):
        await world.advance(seconds=400)
        assert await world.manager().validate_session(session_id)
        assert await manager.count_sessions("alice") == 1
    await world.advance(seconds=600)
    assert await manager.count_sessions("alice") == 0
    assert await manager.cleanup_expired_sessions() == 1


async def test_a_clock_that_steps_back_expires_nothing_and_writes_nothing(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    before = (await manager.get_session_metadata(session_id)).last_accessed
    await single.advance(seconds=-30)
    assert await manager.validate_session(session_id)
    assert (await manager.get_session_metadata(session_id)).last_accessed == before


@pytest.mark.parametrize(
    "options",
    [
        {"idle_timeout_seconds": 0},
        {"idle_timeout_seconds": -1},
        {"touch_interval_seconds": -1},
        {"touch_interval_seconds": float("nan")},
        {"idle_timeout_seconds": 60, "touch_interval_seconds": 60},
        {"max_sessions_per_user": 0},
        {"max_sessions_per_user": 1.5},
        {"when_full": "explode"},
        {"retention_seconds": -1},
        {"max_metadata_bytes": 0},
    ],
    ids=str,
)
def test_refuses_invalid_settings(options):
    from chuk_sessions import SessionManager

    with pytest.raises(ValueError, match=r"\w"):
        SessionManager("test", **options)
