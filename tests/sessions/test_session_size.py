"""A session has a maximum size, for every operation that lets it grow."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionTooLargeError
from chuk_sessions.core import data_operations, operations
from chuk_sessions.core.keys import session_keys


async def metadata_of(manager, session_id):
    return (await manager.get_session_info(session_id))["custom_metadata"]


async def test_many_small_updates_do_not_exceed_it(single):
    manager = single.manager(max_session_bytes=1000)
    session_id = await manager.allocate_session()
    for number in range(9):
        assert await manager.update_session_metadata(session_id, {f"{number}": "x" * 100})
    before = await manager.get_session_metadata(session_id)
    with pytest.raises(SessionTooLargeError, match="1050"):
        await manager.update_session_metadata(session_id, {"9": "x" * 100})
    assert await manager.get_session_metadata(session_id) == before


async def test_removals_and_replacements_free_room(single):
    manager = single.manager(max_session_bytes=100)
    session_id = await manager.allocate_session(custom_metadata={"a": "x" * 90})
    with pytest.raises(SessionTooLargeError):
        await manager.update_session_metadata(session_id, {"b": "y" * 90})
    assert await manager.update_session_metadata(session_id, {"b": "y" * 90}, remove=["a"])
    assert await manager.update_session_metadata(session_id, {"c": "z" * 90}, merge=False)
    for _ in range(20):
        assert await manager.update_session_metadata(session_id, {"c": "z" * 90})
    assert await metadata_of(manager, session_id) == {"c": "z" * 90}


async def test_a_value_that_changes_often_never_fills_a_session(single):
    manager = single.manager(max_session_bytes=100)
    session_id = await manager.allocate_session(custom_metadata={"page": ""})
    for number in range(200):
        assert await manager.update_session_metadata(session_id, {"page": "x" * (number % 90)})


async def test_refuses_a_counter_that_needs_more_room(single):
    manager = single.manager(max_session_bytes=7)
    session_id = await manager.allocate_session(custom_metadata={"n": 9})
    with pytest.raises(SessionTooLargeError):
        await manager.increment_session_counter(session_id, "m")
    assert await manager.increment_session_counter(session_id, "n", 9990) == (True, 9999)
    with pytest.raises(SessionTooLargeError):
        await manager.increment_session_counter(session_id, "n", idempotency_key="k")
    assert await manager.increment_session_counter(session_id, "n", -1, idempotency_key="k") == (True, 9998)


async def test_a_refused_change_leaves_its_idempotency_key_free(single):
    manager = single.manager(max_session_bytes=50)
    session_id = await manager.allocate_session(custom_metadata={"a": "x" * 40})
    for _ in range(2):
        with pytest.raises(SessionTooLargeError):
            await manager.update_session_metadata(session_id, {"b": "y" * 40}, idempotency_key="k")
    assert await manager.update_session_metadata(session_id, {"b": 1}, idempotency_key="k")
    assert await metadata_of(manager, session_id) == {"a": "x" * 40, "b": 1}


async def test_refuses_to_create_a_session_that_is_too_large(single):
    manager = single.manager(max_session_bytes=10)
    with pytest.raises(SessionTooLargeError, match="10"):
        await manager.allocate_session("s1", custom_metadata={"a": "x" * 10})
    assert not await manager.validate_session("s1")


async def test_rotation_and_login_keep_the_limit(single):
    manager = single.manager(max_session_bytes=100)
    session_id = await manager.allocate_session(custom_metadata={"a": "x" * 90})
    for user_id in (None, "alice"):
        session_id = await manager.rotate_session(session_id, user_id=user_id)
        with pytest.raises(SessionTooLargeError):
            await manager.update_session_metadata(session_id, {"b": "y" * 10})
        assert await manager.update_session_metadata(session_id, {"a": "z" * 90})


async def test_a_login_accepts_a_session_that_another_manager_let_grow(single):
    session_id = await single.manager().allocate_session(custom_metadata={"a": "x" * 90})
    manager = single.manager(max_session_bytes=10)
    new = await manager.rotate_session(session_id, user_id="alice")
    assert await metadata_of(manager, new) == {"a": "x" * 90}


async def test_the_default_is_four_megabytes(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for number in range(4):
        assert await manager.update_session_metadata(session_id, {f"{number}": "x" * 1_048_560})
    with pytest.raises(SessionTooLargeError):
        await manager.update_session_metadata(session_id, {"4": "x" * 100})
    assert data_operations.MAX_SESSION_BYTES == 4 * 2**20


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", True, None])
def test_refuses_invalid_limits(single, limit):
    with pytest.raises(ValueError, match="max_session_bytes"):
        single.manager(max_session_bytes=limit)


async def test_the_size_in_the_record_is_at_least_the_actual_size(single):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": 1})
    for number in range(12):
        await manager.increment_session_counter(session_id, "n", 10**number)
        await manager.update_session_metadata(session_id, {"t": "x" * number}, remove=["a"])
    reply = await single.backend.run(operations.read(session_keys("test", session_id)))
    fields = dict(zip(reply[1][::2], reply[1][1::2], strict=True))
    size = sum(len(name) + len(value) for name, value in fields.items() if len(name) > 1)
    assert size <= int(fields[b"z"])
