"""merge, increment, and append with events: changes of metadata are events for managers that ask for it."""

from __future__ import annotations

import pytest

from tests.harness.events import read_events, summary

CHANGES = {
    "set": lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}),
    "merge": lambda manager, session_id: manager.update_session_metadata(session_id, {}, remove=["a"]),
    "once": lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}, idempotency_key="k"),
    "increment": lambda manager, session_id: manager.increment_session_counter(session_id, "n"),
    "append": lambda manager, session_id: manager.append_session_metadata(session_id, "list", 1),
    "transform": lambda manager, session_id: manager.transform_session_metadata(session_id, "a", lambda a: 2),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_told_if_the_manager_asks_for_it(world, change):
    manager = world.manager(events="updates")
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=1)
    assert await CHANGES[change](manager, session_id)
    assert await summary(world, session_id) == ["created", "updated"]
    entry = (await read_events(world))[-1][1]
    assert (entry.version, entry.owner, entry.expires_at) == (2, b"alice", entry.created + 3_600_000)
    assert await CHANGES[change](world.manager(events=True), session_id)
    assert await CHANGES[change](world.manager(), session_id)
    assert await summary(world, session_id) == ["created", "updated"]


@pytest.mark.parametrize("change", ["once"])
async def test_a_change_that_is_applied_once_is_told_once(world, change):
    manager = world.manager(events="updates")
    session_id = await manager.allocate_session()
    for _ in range(2):
        assert await CHANGES[change](manager, session_id)
    assert await summary(world, session_id) == ["created", "updated"]


async def test_a_change_with_a_new_deadline_is_two_events(world):
    manager = world.manager(events="updates")
    session_id = await manager.allocate_session(ttl_hours=1)
    await manager.update_session_metadata(session_id, {"a": 1}, ttl_seconds=9)
    assert await summary(world, session_id) == ["created", "updated", "extended"]


@pytest.mark.parametrize("change", CHANGES)
async def test_sessions_without_events_change_silently(world, change):
    session_id = await world.manager().allocate_session()
    await CHANGES[change](world.manager(events="updates"), session_id)
    assert await read_events(world) == []
