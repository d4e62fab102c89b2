"""append: add items to a list atomically, without decoding it."""

from __future__ import annotations

import asyncio
import json

import pytest

from chuk_sessions import (
    InvalidMetadataError,
    ListFullError,
    MetadataTooLargeError,
    NotAListError,
    SessionTooLargeError,
)
from chuk_sessions.core import data_operations, operations
from chuk_sessions.core.keys import session_keys
from chuk_sessions.core.record import fields_of


async def list_of(manager, session_id, key="log"):
    return (await manager.get_session_info(session_id))["custom_metadata"].get(key)


async def fields_in_store(world, session_id):
    return fields_of((await world.backend.run(operations.read(session_keys("test", session_id))))[1])


async def test_appends_to_the_list_or_creates_it_and_returns_its_size(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"old": ["a"], "empty": [], "other": 1})
    assert await manager.append_session_metadata(session_id, "log", "a") == len('["a"]')
    assert await manager.append_session_metadata(session_id, "log", 2, {"b": [None]}) == len('["a",2,{"b":[null]}]')
    assert await manager.append_session_metadata(session_id, "old", "ü") == len('["a","ü"]'.encode())
    assert await manager.append_session_metadata(session_id, "empty", [], []) == len("[[],[]]")
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {
        "old": ["a", "ü"], "empty": [[], []], "other": 1, "log": ["a", 2, {"b": [None]}],
    }  # fmt: skip


async def test_appending_nothing_creates_a_list_or_keeps_it(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"full": [1]})
    assert await manager.append_session_metadata(session_id, "empty") == 2
    assert await manager.append_session_metadata(session_id, "empty") == 2
    assert await manager.append_session_metadata(session_id, "full") == 3
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"full": [1], "empty": []}


@pytest.mark.parametrize("text", [b"[1.0,1e400]", b"[ 1 ]", b"[12345678901234567890123]", b'["\\u00fc"]', b"[{}]"])
async def test_keeps_the_bytes_of_the_items_before(single, text):
    manager = single.manager()
    session_id = await manager.allocate_session()
    await single.backend.run(data_operations.merge(session_keys("test", session_id), pairs=[b"m:log", text]))
    assert await manager.append_session_metadata(session_id, "log", 1) == len(text) + 2
    assert (await fields_in_store(single, session_id))[b"m:log"] == text[:-1] + b",1]"


@pytest.mark.parametrize("value", ["[]", "x", 1, None, True, {}, {"a": []}, 1.5, ""], ids=repr)
async def test_refuses_a_value_that_is_not_a_list(single, value):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"log": value})
    with pytest.raises(NotAListError):
        await manager.append_session_metadata(session_id, "log", 1)
    assert await list_of(manager, session_id) == value


async def test_refuses_items_that_json_cannot_represent(single):
    manager = single.manager(max_metadata_bytes=100)
    session_id = await manager.allocate_session()
    for item in (float("nan"), (1, 2), b"x", {1: 2}, object()):
        with pytest.raises(InvalidMetadataError):
            await manager.append_session_metadata(session_id, "log", 1, item)
    with pytest.raises(InvalidMetadataError):
        await manager.append_session_metadata(session_id, 7, 1)
    with pytest.raises(MetadataTooLargeError):
        await manager.append_session_metadata(session_id, "log", "x" * 50, "x" * 50)
    assert await list_of(manager, session_id) is None


async def test_a_list_grows_up_to_max_bytes(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for _ in range(4):
        await manager.append_session_metadata(session_id, "log", 1, max_bytes=9)
    version = (await manager.get_session_metadata(session_id)).version
    with pytest.raises(ListFullError, match="11"):
        await manager.append_session_metadata(session_id, "log", 1, max_bytes=9)
    assert await list_of(manager, session_id) == [1] * 4
    assert (await manager.get_session_metadata(session_id)).version == version
    assert await manager.append_session_metadata(session_id, "log", 1, max_bytes=11) == 11


@pytest.mark.parametrize("most", [0, -1, 1.5, "9", True])
async def test_refuses_invalid_limits(single, most):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="max_bytes"):
        await manager.append_session_metadata(session_id, "log", 1, max_bytes=most)


async def test_keeps_the_limit_of_the_session_and_its_bound_exact(single):
    manager = single.manager(max_session_bytes=50)
    session_id = await manager.allocate_session(custom_metadata={"log": []})
    for _ in range(22):
        await manager.append_session_metadata(session_id, "log", 1)
    fields = await fields_in_store(single, session_id)
    assert int(fields[b"z"]) == len(b"m:log" + fields[b"m:log"]) == 50
    with pytest.raises(SessionTooLargeError):
        await manager.append_session_metadata(session_id, "log", 1)
    # Freed room can be used, although the bound has not seen what was removed.
    assert await manager.update_session_metadata(session_id, {"log": []})
    assert await manager.append_session_metadata(session_id, "log", "x" * 30)


async def test_changes_the_version_but_no_time(single):
    manager = single.manager(idle_timeout_seconds=600)
    session_id = await manager.allocate_session()
    before = await manager.get_session_metadata(session_id)
    await single.advance(seconds=60)
    await manager.append_session_metadata(session_id, "log", 1)
    after = await manager.get_session_metadata(session_id)
    assert after.version == before.version + 1
    assert (after.expires_at, after.last_accessed) == (before.expires_at, before.last_accessed)


async def test_appends_once_per_idempotency_key(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    sizes = [await manager.append_session_metadata(session_id, "log", "a", idempotency_key="k") for _ in range(3)]
    assert sizes == [5, 5, 5]
    assert await manager.append_session_metadata(session_id, "log", "a", idempotency_key="other") == 9
    assert await list_of(manager, session_id) == ["a", "a"]
    await manager.update_session_metadata(session_id, {}, remove=["log"])
    assert await manager.append_session_metadata(session_id, "log", "a", idempotency_key="k") == 0
    await single.advance(seconds=601)
    assert await manager.append_session_metadata(session_id, "log", "a", idempotency_key="k") == 5


async def test_is_none_without_a_session(single):
    manager = single.manager()
    assert await manager.append_session_metadata("unknown", "log", 1) is None
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert await manager.append_session_metadata(session_id, "log", 1) is None
    assert await manager.get_session_info(session_id) is None


async def test_follows_a_rotated_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.append_session_metadata(old, "log", 1, idempotency_key="k") == 3
    assert await list_of(manager, new) == [1]


async def test_concurrent_appends_are_all_kept(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    calls = (manager.append_session_metadata(session_id, "log", number) for number in range(200))
    sizes = await asyncio.gather(*calls)
    found = await list_of(manager, session_id)
    assert sorted(found) == list(range(200))
    assert max(sizes) == len(json.dumps(found, separators=(",", ":")))
