"""merge: change metadata atomically."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import VersionConflictError


async def metadata_of(manager, session_id):
    return (await manager.get_session_info(session_id))["custom_metadata"]


async def test_merges_top_level_keys(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": {"x": 1}})
    assert await manager.update_session_metadata(session_id, {"b": {"y": 2}, "c": 3})
    assert await metadata_of(manager, session_id) == {"a": 1, "b": {"y": 2}, "c": 3}


async def test_replaces_everything_with_merge_false(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": 2})
    assert await manager.update_session_metadata(session_id, {"b": 3, "c": 4}, merge=False)
    assert await metadata_of(manager, session_id) == {"b": 3, "c": 4}
    assert await manager.update_session_metadata(session_id, {}, merge=False)
    assert await metadata_of(manager, session_id) == {}
    assert await manager.validate_session(session_id)


async def test_removes_keys(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": 2, "c": 3})
    assert await manager.update_session_metadata(session_id, {"c": 4, "d": 5}, remove=["a", "c", "never there"])
    assert await metadata_of(manager, session_id) == {"b": 2, "c": 4, "d": 5}


async def test_refuses_a_string_of_keys_to_remove(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    with pytest.raises(ValueError, match="remove"):
        await manager.update_session_metadata(session_id, {}, remove="a")


async def test_changes_only_the_expected_version(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": 0})
    version = (await manager.get_session_metadata(session_id)).version
    assert await manager.update_session_metadata(session_id, {"n": 1}, expected_version=version)
    with pytest.raises(VersionConflictError) as caught:
        await manager.update_session_metadata(session_id, {"n": 2}, expected_version=version)
    assert caught.value.version == version + 1
    assert await metadata_of(manager, session_id) == {"n": 1}


@pytest.mark.parametrize("version", [1.5, "1", True, 2**60])
async def test_refuses_invalid_versions(single, version):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="expected_version"):
        await manager.update_session_metadata(session_id, {}, expected_version=version)


async def test_applies_once_per_idempotency_key(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for value in (1, 2):
        assert await manager.update_session_metadata(session_id, {"n": value}, idempotency_key="order-7")
    assert await metadata_of(manager, session_id) == {"n": 1}
    assert await manager.update_session_metadata(session_id, {"n": 3}, idempotency_key="order-8")
    assert await metadata_of(manager, session_id) == {"n": 3}


async def test_forgets_idempotency_keys_after_ten_minutes(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await manager.update_session_metadata(session_id, {"n": 1}, idempotency_key="a")
    await single.advance(seconds=601)
    await manager.update_session_metadata(session_id, {"n": 2}, idempotency_key="b")
    await manager.update_session_metadata(session_id, {"n": 3}, idempotency_key="a")
    assert await metadata_of(manager, session_id) == {"n": 3}


@pytest.mark.parametrize("key", ["", 7])
async def test_refuses_invalid_idempotency_keys(single, key):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="idempotency"):
        await manager.update_session_metadata(session_id, {}, idempotency_key=key)


async def test_never_creates_a_session(single):
    manager = single.manager()
    assert not await manager.update_session_metadata("unknown", {"a": 1}, remove=["b"])
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert not await manager.update_session_metadata(session_id, {"a": 1}, remove=["b"])
    assert await manager.get_session_info(session_id) is None


async def test_moves_neither_deadline_nor_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session(ttl_hours=1)
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=300)
    await manager.update_session_metadata(session_id, {"a": 1})
    after = await manager.get_session_metadata(session_id)
    assert (after.expires_at, after.last_accessed) == (before.expires_at, before.last_accessed)


async def test_concurrent_updates_are_all_kept(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    updates = (manager.update_session_metadata(session_id, {f"k{number}": number}) for number in range(200))
    assert all(await asyncio.gather(*updates))
    assert await metadata_of(manager, session_id) == {f"k{number}": number for number in range(200)}


async def test_one_of_many_updates_of_the_same_version_is_applied(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    updates = (
        manager.update_session_metadata(session_id, {"winner": number}, expected_version=1) for number in range(50)
    )
    answers = await asyncio.gather(*updates, return_exceptions=True)
    assert sum(answer is True for answer in answers) == 1
    assert sum(isinstance(answer, VersionConflictError) for answer in answers) == 49
