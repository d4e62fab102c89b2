"""extend: move the deadline of a session further away."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime

import pytest

from chuk_sessions.core import operation_ids, operations, statuses
from chuk_sessions.core.keys import session_keys


async def hours_left(manager, session_id):
    info = await manager.get_session_info(session_id)
    expires_at, created_at = (datetime.fromisoformat(info[name]) for name in ("expires_at", "created_at"))
    return (expires_at - created_at).total_seconds() / 3600


async def test_two_managers_extend_the_same_session(single):
    a, b = single.manager(), single.manager()
    session_id = await a.allocate_session(ttl_hours=24)
    assert await a.extend_session_ttl(session_id, 10)
    assert await b.validate_session(session_id)
    assert await b.extend_session_ttl(session_id, 1)
    assert await a.validate_session(session_id)
    assert await hours_left(a, session_id) == 35


async def test_concurrent_extensions_all_count(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    assert all(await asyncio.gather(*(manager.extend_session_ttl(session_id, 0.5) for _ in range(20))))
    assert await hours_left(manager, session_id) == 11


async def test_accepts_fractions_of_hours(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    assert await manager.extend_session_ttl(session_id, 0.25)
    await single.advance(hours=1.25, ms=-1)
    assert await manager.validate_session(session_id)
    await single.advance(ms=1)
    assert not await manager.validate_session(session_id)


@pytest.mark.parametrize("hours", [0, -1, math.nan, math.inf, True, "1", None, 10**400])
async def test_refuses_invalid_hours(single, hours):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    with pytest.raises(ValueError, match="additional_hours"):
        await manager.extend_session_ttl(session_id, hours)
    assert await hours_left(manager, session_id) == 1


async def test_never_restores_an_expired_session(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert not await manager.extend_session_ttl(session_id, 5)
    assert not await manager.validate_session(session_id)


async def test_applies_once_per_operation_id(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    call = operations.extend(
        session_keys("test", session_id), additional_ms=3_600_000, operation_id=b"same", retention_ms=0
    )
    first, second = [await single.backend.run(call) for _ in range(2)]
    assert first == second
    assert await hours_left(manager, session_id) == 2


async def test_stops_at_the_end_of_the_calendar(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    for _ in range(80):
        assert await manager.extend_session_ttl(session_id, 99 * 366 * 24)
    with pytest.raises(ValueError, match="year 9999"):
        await manager.extend_session_ttl(session_id, 99 * 366 * 24)
    assert (await manager.get_session_info(session_id))["expires_at"] > "9800"


async def test_moves_the_deadline_in_the_index_too(world):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    await manager.extend_session_ttl(session_id, 1)
    await world.advance(hours=1.5)
    assert await manager.cleanup_expired_sessions() == 0
    assert await manager.count_sessions("alice") == 1
    await world.advance(hours=0.5)
    assert await manager.count_sessions("alice") == 0


async def test_does_not_lengthen_the_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session(ttl_hours=1)
    assert await manager.extend_session_ttl(session_id, 1)
    await single.advance(seconds=60)
    assert not await manager.validate_session(session_id)


@pytest.mark.parametrize("updates_in_between", [0, 1, 3])
async def test_operation_ids_do_not_accumulate(single, updates_in_between):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for number in range(60):
        assert await manager.extend_session_ttl(session_id, 0.01)
        for _ in range(updates_in_between):
            assert await manager.update_session_metadata(session_id, {"n": number})
        await single.advance(seconds=20)
    reply = await single.backend.run(operations.read(session_keys("test", session_id), operation_ids=True))
    # The record has the latest one.
    assert len(reply[3]) // 2 == 4
    assert reply[1].count(b"x") == 1


@pytest.mark.parametrize("extensions_in_between", [0, 1, 3])
async def test_repeats_count_once_until_the_window_ends(single, extensions_in_between):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=10)
    target = session_keys("test", session_id)
    call = operations.extend(target, additional_ms=3_600_000, operation_id=b"same", retention_ms=0)
    assert await single.backend.run(call) == [statuses.OK]
    for _ in range(extensions_in_between):
        await single.advance(seconds=10)
        assert await manager.extend_session_ttl(session_id, 1)
    await single.advance(ms=operation_ids.EXTEND_WINDOW_MS - 10_000 * extensions_in_between - 1)
    assert await single.backend.run(call) == [statuses.OK]
    assert await hours_left(manager, session_id) == 11 + extensions_in_between
    await single.advance(ms=1)
    assert await single.backend.run(call) == [statuses.OK]
    assert await hours_left(manager, session_id) == 12 + extensions_in_between


async def test_a_rotated_session_remembers_the_extension(world):
    manager = world.manager(max_sessions_per_user=3)
    for login in ({}, {"user_id": "alice"}, {"user_id": "bob"}):
        old = await manager.allocate_session(user_id=None if login.get("user_id") == "bob" else "alice", ttl_hours=1)
        call = operations.extend(session_keys("test", old), additional_ms=1000, operation_id=b"same", retention_ms=0)
        assert await world.backend.run(call) == [statuses.OK]
        new = await manager.rotate_session(old, **login)
        before = await manager.get_session_info(new)
        assert await world.backend.run(operations.retarget(call, session_keys("test", new))) == [statuses.OK]
        assert await manager.get_session_info(new) == before
