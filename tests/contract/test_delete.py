"""delete: a session ends everywhere, at once."""

from __future__ import annotations

import asyncio


async def test_is_true_once(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.delete_session(session_id) is True
    assert await manager.delete_session(session_id) is False


async def test_nothing_brings_it_back(single):
    manager, other = single.manager(), single.manager()
    session_id = await manager.allocate_session(user_id="alice")
    assert await other.validate_session(session_id)
    await manager.delete_session(session_id)
    assert not await other.validate_session(session_id)
    assert not await other.update_session_metadata(session_id, {"a": 1})
    assert not await other.extend_session_ttl(session_id, 1)
    assert await other.increment_session_counter(session_id, "n") is None
    assert await other.rotate_session(session_id) is None
    assert await other.rotate_session(session_id, user_id="alice") is None
    assert not await other.validate_session(session_id)


async def test_takes_the_session_out_of_the_indexes(world):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id="alice")
    await manager.delete_session(session_id)
    assert await manager.list_sessions() == []
    assert await manager.count_sessions("alice") == 0


async def test_an_ended_session_was_not_there(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert await manager.delete_session(session_id) is False


async def test_the_id_can_be_used_again_for_a_new_session(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice", custom_metadata={"a": 1})
    await manager.delete_session("s1")
    await manager.allocate_session("s1", user_id="bob")
    assert (await manager.get_session_info("s1"))["custom_metadata"] == {}


async def test_side_by_side_one_is_true(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    answers = await asyncio.gather(*(manager.delete_session(session_id) for _ in range(50)))
    assert sum(answers) == 1


async def test_ends_a_session_under_its_old_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.delete_session(old) is True
    assert not await manager.validate_session(new)
    assert not await manager.validate_session(old)
