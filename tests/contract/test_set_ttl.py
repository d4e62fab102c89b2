"""set_ttl: set the deadline of a session, counted from now."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from chuk_sessions import VersionConflictError
from tests.harness.references import references


async def hours_left(world, manager, session_id):
    expires_at = datetime.fromisoformat((await manager.get_session_info(session_id))["expires_at"])
    return (expires_at.timestamp() * 1000 - world.clock.now_ms()) / 3_600_000


@pytest.mark.parametrize("hours", [48, 0.5, 1.25])
async def test_counts_from_now_into_either_direction(single, hours):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=24)
    await single.advance(hours=0.25)
    assert await manager.set_session_ttl(session_id, hours)
    assert await hours_left(single, manager, session_id) == hours
    await single.advance(hours=hours, ms=-1)
    assert await manager.validate_session(session_id)
    await single.advance(ms=1)
    assert not await manager.validate_session(session_id)


async def test_infinity_is_the_latest_deadline(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.set_session_ttl(session_id, math.inf)
    assert (await manager.get_session_info(session_id))["expires_at"] == "9999-12-31T23:59:59.999Z"
    assert await manager.set_session_ttl(session_id, 1)
    assert await hours_left(single, manager, session_id) == 1


@pytest.mark.parametrize("hours", [0, -1, math.nan, -math.inf, True, "1", None, 10**400, 100 * 366 * 24 + 1])
async def test_refuses_invalid_hours(single, hours):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    with pytest.raises(ValueError, match="hours"):
        await manager.set_session_ttl(session_id, hours)
    assert await hours_left(single, manager, session_id) == 1


async def test_restores_no_session(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert not await manager.set_session_ttl(session_id, 5)
    assert not await manager.set_session_ttl("from-a-cookie", 5)
    assert not await manager.set_session_ttl("../..", 5)
    assert not await manager.validate_session(session_id)


async def test_changes_the_version_and_is_no_access(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=1)
    assert await manager.set_session_ttl(session_id, 1)
    after = await manager.get_session_metadata(session_id)
    assert (after.version, after.last_accessed) == (before.version + 1, before.last_accessed)
    with pytest.raises(VersionConflictError):
        await manager.update_session_metadata(session_id, {"a": 1}, expected_version=before.version)


async def test_does_not_lengthen_the_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session()
    await single.advance(seconds=59)
    assert await manager.set_session_ttl(session_id, 48)
    await single.advance(seconds=1)
    assert not await manager.validate_session(session_id)


async def test_an_earlier_deadline_ends_an_idle_session_in_spite_of_accesses(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session()
    assert await manager.set_session_ttl(session_id, 100 / 3600)
    await single.advance(seconds=59)
    assert await manager.validate_session(session_id)
    await single.advance(seconds=41)
    assert not await manager.validate_session(session_id)


async def test_moves_the_deadline_in_the_indexes_too(world):
    manager = world.manager()
    longer, shorter = [await manager.allocate_session(user_id="alice", ttl_hours=2) for _ in range(2)]
    assert await manager.set_session_ttl(longer, 3)
    assert await manager.set_session_ttl(shorter, 1)
    await world.advance(hours=1)
    assert await manager.list_sessions() == references([longer])
    # Without the earlier time in the index of sandboxes, this sweep would not find the sandbox.
    assert await manager.cleanup_expired_sessions(all_sandboxes=True) == 1
    await world.advance(hours=1)
    assert await manager.count_sessions("alice") == 1
    await world.advance(hours=1)
    assert await manager.count_sessions("alice") == 0


async def test_works_under_an_old_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.set_session_ttl(old, 7)
    assert await hours_left(single, manager, new) == 7


async def test_the_record_outlives_the_new_deadline_for_the_retention(world):
    manager = world.manager(retention_seconds=10)
    session_id = await manager.allocate_session(ttl_hours=2)
    assert await manager.set_session_ttl(session_id, 1)
    await world.advance(hours=1)
    # The clock steps back: the record is still there.
    await world.advance(seconds=-5)
    assert await manager.validate_session(session_id)
