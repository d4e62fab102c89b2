"""extend, set_ttl, and merge with events: a new deadline is an event."""

from __future__ import annotations

import pytest

from chuk_sessions.core import keys, operations, statuses
from tests.harness.events import read_events, summary

CHANGES = {
    "extend": lambda manager, session_id: manager.extend_session_ttl(session_id, 1),
    "set_ttl": lambda manager, session_id: manager.set_session_ttl(session_id, 2),
    "merge": lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}, ttl_seconds=7200),
}


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_new_deadline_is_told_whichever_manager_sets_it(world, change, events):
    session_id = await world.manager(events=True).allocate_session(user_id="alice", ttl_hours=1)
    assert await CHANGES[change](world.manager(events=events), session_id)
    assert await summary(world, session_id) == ["created", "extended"]
    entry = (await read_events(world))[-1][1]
    assert (entry.version, entry.owner, entry.expires_at) == (2, b"alice", entry.created + 7_200_000)


async def test_an_extension_that_is_repeated_has_one_event(world):
    session_id = await world.manager(events=True).allocate_session(ttl_hours=1)
    target = keys.session_keys("test", session_id)
    for _ in range(2):
        call = operations.extend(target, additional_ms=5, operation_id=b"once", retention_ms=0)
        assert await world.backend.run(call) == [statuses.OK]
    assert await summary(world, session_id) == ["created", "extended"]


@pytest.mark.parametrize("change", CHANGES)
async def test_no_session_no_event(world, change):
    manager = world.manager(events=True)
    session_id = await manager.allocate_session(ttl_hours=1)
    await world.advance(hours=1)
    await CHANGES[change](manager, session_id)
    assert await summary(world, session_id) == ["created"]


async def test_an_access_is_no_event(world):
    manager = world.manager(events="updates", idle_timeout_seconds=60)
    session_id = await manager.allocate_session()
    for _ in range(3):
        await world.advance(seconds=40)
        assert await manager.validate_session(session_id)
        assert await manager.load_session(session_id)
    assert await summary(world, session_id) == ["created"]
