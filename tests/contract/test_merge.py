"""merge: change metadata atomically."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from chuk_sessions import (
    ABSENT,
    InvalidMetadataError,
    MetadataConflictError,
    SessionConflictError,
    VersionConflictError,
    session_hash,
)
from chuk_sessions.core import data_operations, statuses
from chuk_sessions.core.durations import LATEST_MS
from chuk_sessions.core.keys import session_keys


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


async def test_changes_only_expected_values(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": {"x": [1, "ü"]}, "c": None})
    expected = {"a": 1, "b": {"x": [1, "ü"]}, "c": None, "d": ABSENT}
    before = await manager.get_session_metadata(session_id)
    for key, other in {"a": 2, "b": {"x": [1]}, "c": ABSENT, "d": None}.items():
        with pytest.raises(MetadataConflictError, match=f"'{key}'") as caught:
            await manager.update_session_metadata(session_id, {"a": 9}, expected={**expected, key: other})
        assert caught.value.keys == (key,)
    with pytest.raises(MetadataConflictError) as caught:
        await manager.update_session_metadata(session_id, {"a": 9}, remove=["c"], expected={"a": ABSENT, "d": 1})
    assert set(caught.value.keys) == {"a", "d"}
    assert await manager.get_session_metadata(session_id) == before
    assert await manager.update_session_metadata(session_id, {"a": 9, "d": 1}, remove=["c"], expected=expected)
    assert await metadata_of(manager, session_id) == {"a": 9, "b": {"x": [1, "ü"]}, "d": 1}


async def test_changes_under_other_keys_do_not_conflict(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"n": 0, "cart": []})
    await manager.increment_session_counter(session_id, "n")
    await manager.extend_session_ttl(session_id, 1)
    assert await manager.update_session_metadata(session_id, {"cart": ["book"]}, expected={"cart": []})


async def test_one_of_many_updates_of_the_same_value_is_applied(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    updates = (manager.update_session_metadata(session_id, {"a": n}, expected={"a": ABSENT}) for n in range(50))
    answers = await asyncio.gather(*updates, return_exceptions=True)
    assert sum(answer is True for answer in answers) == 1
    assert sum(isinstance(answer, MetadataConflictError) for answer in answers) == 49


async def test_a_repeated_update_is_applied_before_its_expectations_are_compared(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    for _ in range(2):
        assert await manager.update_session_metadata(session_id, {"a": 2}, expected={"a": 1}, idempotency_key="k")
    with pytest.raises(MetadataConflictError):
        await manager.update_session_metadata(session_id, {"a": 3}, expected={"a": 1}, idempotency_key="other")
    assert await manager.update_session_metadata(session_id, {"a": 3}, expected={"a": 2}, idempotency_key="other")


async def test_a_version_is_compared_before_values(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    with pytest.raises(VersionConflictError):
        await manager.update_session_metadata(session_id, {}, expected={"a": 2}, expected_version=7)


@pytest.mark.parametrize("expected", [{"a": float("nan")}, {"a": (1,)}, {7: ABSENT}, {7: 1}, ["a"], "a", 7], ids=repr)
async def test_refuses_invalid_expectations(single, expected):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(InvalidMetadataError):
        await manager.update_session_metadata(session_id, {"a": 1}, expected=expected)


async def test_absent_is_not_a_value(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(InvalidMetadataError):
        await manager.update_session_metadata(session_id, {"a": ABSENT})


def seconds_left(world, session):
    return (datetime.fromisoformat(session.expires_at).timestamp() * 1000 - world.clock.now_ms()) / 1000


@pytest.mark.parametrize("seconds", [0.5, 10, 86_400.0])
async def test_saves_and_moves_the_deadline(single, seconds):
    manager = single.manager(retention_seconds=0)
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(seconds=5)
    assert await manager.update_session_metadata(session_id, {"a": 1}, ttl_seconds=seconds)
    session = await manager.get_session_metadata(session_id)
    assert (seconds_left(single, session), session.custom_metadata, session.version) == (seconds, {"a": 1}, 2)
    await single.advance(ms=int(1000 * seconds) - 1)
    assert await manager.validate_session(session_id)
    await single.advance(ms=1)
    assert not await manager.validate_session(session_id)


async def test_a_deadline_moves_without_other_changes(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    assert await manager.update_session_metadata(session_id, {}, ttl_seconds=10)
    assert seconds_left(single, await manager.get_session_metadata(session_id)) == 10


async def test_a_moved_deadline_respects_the_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=100)
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(seconds=60)
    assert await manager.update_session_metadata(session_id, {}, ttl_seconds=10_000)
    await single.advance(seconds=40)
    assert not await manager.validate_session(session_id)


async def test_a_refused_update_does_not_move_the_deadline(single):
    manager = single.manager(max_session_bytes=10)
    session_id = await manager.allocate_session(ttl_hours=1, custom_metadata={"a": 1})
    before = await manager.get_session_metadata(session_id)
    for change, options in (({"a": "x" * 10}, {}), ({"a": 2}, {"expected": {"a": 2}}), ({}, {"expected_version": 7})):
        with pytest.raises(SessionConflictError):
            await manager.update_session_metadata(session_id, change, ttl_seconds=10, **options)
    assert await manager.get_session_metadata(session_id) == before


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "1", True, 1e12])
async def test_refuses_invalid_ttls(single, ttl):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="ttl_seconds"):
        await manager.update_session_metadata(session_id, {}, ttl_seconds=ttl)


async def test_the_deadline_does_not_move_beyond_the_year_9999(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=24)
    call = data_operations.merge(session_keys("test", session_id), pairs=[], ttl_ms=LATEST_MS)
    assert (await single.backend.run(call))[0] == statuses.TOO_FAR
    with pytest.raises(ValueError, match="9999"):
        statuses.check(call.operation, await single.backend.run(call))
    assert (await manager.get_session_metadata(session_id)).version == 1


async def test_follows_a_rotated_id_to_move_its_deadline(single):
    manager = single.manager()
    old = await manager.allocate_session(custom_metadata={"a": 1})
    new = await manager.rotate_session(old, grace_seconds=60)
    changed = manager.update_session_metadata(old, {"b": 2}, expected={"a": 1}, ttl_seconds=10, idempotency_key="k")
    assert await changed
    session = await manager.get_session_metadata(new)
    assert (seconds_left(single, session), session.custom_metadata) == (10, {"a": 1, "b": 2})


async def test_indexes_follow_a_moved_deadline(world):
    manager = world.manager()
    early, late = [await manager.allocate_session(user_id="alice", ttl_hours=1) for _ in range(2)]
    await manager.update_session_metadata(early, {}, ttl_seconds=10)
    await manager.update_session_metadata(late, {}, ttl_seconds=8000)
    await world.advance(seconds=10)
    assert await manager.list_sessions() == [session_hash(late)]
    # Without the earlier time in the index of sandboxes, this sweep would not find the sandbox.
    assert await manager.cleanup_expired_sessions(all_sandboxes=True) == 1
    await world.advance(hours=1)
    assert [session.reference for session in await manager.list_user_sessions("alice")] == [session_hash(late)]
