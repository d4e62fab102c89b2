"""sweep and events: each expired session ends once, with its owner and reason if its record is left."""

from __future__ import annotations

import pytest

from chuk_sessions.core import index_operations, keys, operations, statuses
from tests.harness.events import read_events, summary


@pytest.mark.parametrize("all_sandboxes", [False, True])
async def test_tells_whether_a_session_has_expired_or_was_idle(world, all_sandboxes):
    manager = world.manager(events=True, idle_timeout_seconds=600)
    idle = await manager.allocate_session(user_id="alice", ttl_hours=1)
    expired = await manager.allocate_session(user_id="alice", ttl_hours=0.1)
    silent = await world.manager().allocate_session(user_id="alice", ttl_hours=0.1)
    await world.advance(seconds=601)
    for swept in (3, 0):
        assert await world.manager().cleanup_expired_sessions(all_sandboxes=all_sandboxes) == swept
    told = await summary(world, idle, expired, silent)
    assert told == ["created", "ended idle", "created", "ended expired"]
    assert {entry.owner for _, entry in await read_events(world)} == {b"alice"}


async def test_the_owner_is_unknown_without_a_record(world):
    target = keys.session_keys("test", "own")
    # The record is under another key, as if its own had expired.
    call = operations.allocate(
        target._replace(record=f"{target.index_keys.records}elsewhere"), "test", ttl_ms=3_600_000, idle_ms=0,
        owner=b"alice", user=0, cap=0, retention_ms=0, create=True, events=100,
    )  # fmt: skip
    await world.backend.run(call)
    expires_at = world.clock.now_ms() + 3_600_000
    await world.advance(hours=2)
    await world.manager().cleanup_expired_sessions()
    assert await summary(world, "own") == ["created", "ended expired"]
    end = (await read_events(world))[-1][1]
    assert (end.owner, end.owner_is_known, end.expires_at, end.version) == (None, False, expires_at, 0)


async def test_a_clock_that_steps_back_ends_no_session_twice(world):
    manager = world.manager(events=True, retention_seconds=9999)
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    index = keys.session_keys("test", session_id).index_keys
    await world.advance(hours=2)
    _, _, _, marked = await world.backend.run(index_operations.sweep(index, "test"))
    await world.advance(hours=-2)
    assert (await world.backend.run(index_operations.sweep(index, "test", marked)))[:2] == [statuses.OK, 0]
    assert await summary(world, session_id) == ["created"]
    assert await manager.delete_session(session_id)
    await world.advance(hours=2)
    assert (await world.backend.run(index_operations.sweep(index, "test", marked)))[:2] == [statuses.OK, 0]
    assert await summary(world, session_id) == ["created", "ended deleted"]


async def test_a_sweep_that_an_allocation_starts_tells_the_ends(world):
    manager = world.manager(events=True)
    expired = [await manager.allocate_session(user_id="alice", ttl_hours=1) for _ in range(20)]
    await world.advance(hours=1)
    await world.manager().allocate_session(user_id="alice")
    told = await summary(world, *expired)
    assert told.count("ended expired") == 16
    await manager.cleanup_expired_sessions()
    assert (await summary(world, *expired)).count("ended expired") == 20
