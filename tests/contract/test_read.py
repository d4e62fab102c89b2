"""read: return the whole session."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta

import pytest

from chuk_sessions import (
    CorruptRecordError,
    InvalidMetadataError,
    MetadataTooLargeError,
    SessionMetadata,
    session_hash,
)
from chuk_sessions.core import data_operations
from chuk_sessions.core.keys import session_keys

KEYS = {
    "session_id", "sandbox_id", "user_id", "created_at", "expires_at", "status", "last_accessed", "custom_metadata",
}  # fmt: skip


def nested(depth, leaf=0):
    value = leaf
    for _ in range(depth):
        value = [value]
    return value


EXACT = {
    "past 2^53": 2**53 + 1,
    "negative": -(2**64),
    "many digits": 10**4000,
    "empty list": [],
    "empty dict": {},
    "nested empties": {"a": [], "b": {}, "c": [[], {}]},
    "float": 0.1,
    "whole float": 1.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "negative zero": -0.0,
    "unicode": "naïve 名前 🎈 \u2028",
    "lone surrogates": "\ud800 and \udc00",
    "adjacent surrogates": "\ud83d\ude00",
    "control characters": "\x00\x01\x1f\x7f\r\n\t",
    "quotes": "\"'\\",
    "booleans": [True, False, None],
    "not a number but text": "NaN",
    "looks like json": "{}",
    "nested": nested(200),
    "unusual keys": {"": 1, "\ud800": 2, "a b": 3},
}


async def test_info_has_the_documented_keys_and_is_json_serializable(single):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id="alice", ttl_hours=2, custom_metadata={"n": [1]})
    info = await manager.get_session_info(session_id)
    assert set(info) == KEYS
    assert json.loads(json.dumps(info)) == info
    assert (info["session_id"], info["sandbox_id"], info["user_id"]) == (session_id, "test", "alice")
    assert info["status"] == "active"
    for name in ("created_at", "expires_at", "last_accessed"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info[name])


async def test_a_model_converts_to_a_dict_and_back(single):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"a": {"b": 1}})
    model = await manager.get_session_metadata(session_id)
    assert isinstance(model, SessionMetadata)
    assert model.to_dict() == await manager.get_session_info(session_id)
    assert SessionMetadata.from_dict(model.to_dict()) == model
    assert not model.is_expired()


def test_a_model_that_a_caller_creates_has_the_current_time():
    model = SessionMetadata("s1", "test")
    assert model.last_accessed == model.created_at
    assert datetime.now(UTC) - datetime.fromisoformat(model.created_at) < timedelta(seconds=5)
    model.last_accessed = "2000-01-01T00:00:00Z"
    model.touch()
    assert model.last_accessed >= model.created_at


@pytest.mark.parametrize(
    ("expires_at", "expired"), [(None, False), ("2000-01-01", True), ("9999-01-01T00:00:00", False)]
)
def test_a_model_expires_at_any_iso_date_in_utc_by_default(expires_at, expired):
    assert SessionMetadata("s1", "test", expires_at=expires_at).is_expired() is expired


async def test_a_read_is_not_an_access(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    before = await manager.get_session_info(session_id)
    await single.advance(seconds=5)
    assert await manager.get_session_info(session_id) == before


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
async def test_returns_values_exactly(single, value):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={"allocated": value})
    await manager.update_session_metadata(session_id, {"merged": value})
    returned = (await manager.get_session_info(session_id))["custom_metadata"]
    assert returned == {"allocated": value, "merged": value}
    assert repr(returned["allocated"]) == repr(value)


@pytest.mark.parametrize("key", ["", "m:", "a b", "名前", "\ud800", "v", "d", "o:x", "k" * 1000])
async def test_returns_keys_exactly(single, key):
    manager = single.manager()
    session_id = await manager.allocate_session(custom_metadata={key: 1, "other": 2})
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {key: 1, "other": 2}


def cycle():
    value: list = []
    value.append(value)
    return value


def lattice():
    value: list = []
    for _ in range(100):
        value = [value, value]
    return value


REFUSED = {
    "nan": math.nan,
    "infinity": math.inf,
    "nested nan": {"a": [math.nan]},
    "bytes": b"x",
    "nested bytes": [b"x"],
    "tuple": (1, 2),
    "nested tuple": {"a": (1,)},
    "set": {1},
    "object": object(),
    "key is a number": {1: "a"},
    "nested key is a number": [{"a": {True: 1}}],
    "too deep": nested(201),
    "a cycle": cycle(),
    "a lattice": lattice(),
    "too many digits": 10**5000,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
async def test_refuses_values_that_json_would_change_and_loses_nothing(single, value):
    manager = single.manager(max_metadata_bytes=10_000)
    with pytest.raises(InvalidMetadataError):
        await manager.allocate_session("s1", custom_metadata={"x": value})
    assert not await manager.validate_session("s1")
    await manager.allocate_session("s1", custom_metadata={"a": 1})
    with pytest.raises(InvalidMetadataError):
        await manager.update_session_metadata("s1", {"a": 2, "x": value})
    assert (await manager.get_session_info("s1"))["custom_metadata"] == {"a": 1}


@pytest.mark.parametrize("metadata", [{1: "a"}, [("a", 1)], "text", 7])
async def test_refuses_metadata_that_is_not_a_dict_with_text_keys(single, metadata):
    with pytest.raises(InvalidMetadataError):
        await single.manager().allocate_session(custom_metadata=metadata)


async def test_metadata_has_a_size_limit(single):
    manager = single.manager(max_metadata_bytes=100)
    session_id = await manager.allocate_session(custom_metadata={"k": "x" * 97})
    with pytest.raises(MetadataTooLargeError, match="100"):
        await manager.update_session_metadata(session_id, {"k": "x" * 98})
    with pytest.raises(MetadataTooLargeError):
        await manager.update_session_metadata(session_id, {str(number): number for number in range(100)})
    assert (await manager.get_session_info(session_id))["custom_metadata"] == {"k": "x" * 97}


async def test_accepts_a_megabyte_and_thousands_of_keys(single):
    manager = single.manager(max_metadata_bytes=2_000_000)
    metadata = {f"key-{number}": number for number in range(20_000)}
    session_id = await manager.allocate_session(custom_metadata={**metadata, "big": "x" * 1_000_000})
    assert await manager.update_session_metadata(session_id, metadata, merge=False)
    assert (await manager.get_session_info(session_id))["custom_metadata"] == metadata


async def put_raw_fields(world, session_id, *pairs):
    """Create a session, and write raw fields to its record."""
    await world.manager().allocate_session(session_id)
    await world.backend.run(data_operations.merge(session_keys("test", session_id), pairs=pairs))


@pytest.mark.parametrize(
    "pair",
    [(b"m:x", b"{"), (b"m:x", b"\xff"), (b"m:x", b"[" * 100_000), (b"c", b"soon"), (b"c", b"9" * 30), (b"u", b"\xff")],
    ids=lambda pair: repr(pair)[:30],
)
async def test_a_damaged_record_raises_a_typed_error(single, pair):
    await put_raw_fields(single, "s1", *pair)
    with pytest.raises(CorruptRecordError):
        await single.manager().get_session_info("s1")


@pytest.mark.parametrize(
    "pair",
    [
        (b"d", b"never"), (b"a", b"?"), (b"i", b"long"), (b"d", b"nan"), (b"d", b"0x7fffffffffff"), (b"d", b"1e15"),
        (b"d", b"9" * 16), (b"a", b" 5"), (b"a", b"+5"), (b"i", b"1_0"),
    ],
    ids=repr,
)  # fmt: skip
async def test_every_operation_raises_a_typed_error_for_invalid_times(single, pair):
    await put_raw_fields(single, "s1", *pair)
    manager = single.manager()
    with pytest.raises(CorruptRecordError):
        await manager.validate_session("s1")
    with pytest.raises(CorruptRecordError):
        await manager.update_session_metadata("s1", {"a": 1})
    with pytest.raises(CorruptRecordError):
        await manager.extend_session_ttl("s1", 1)


async def test_a_pointer_that_is_not_text_raises_a_typed_error(single):
    manager = single.manager()
    await manager.allocate_session("s1")
    # A pointer is a record without a last access.
    call = data_operations.merge(session_keys("test", "s1"), pairs=[b"r", b"\xff"], removals=[b"a"])
    await single.backend.run(call)
    with pytest.raises(CorruptRecordError):
        await manager.validate_session("s1")


async def test_a_session_is_read_by_its_reference_without_touching_it(single):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"n": [1]})
    before = await manager.get_session_info(session_id)
    await single.advance(seconds=5)
    found = await manager.get_listed_session(session_hash(session_id))
    assert (found.reference, found.user_id, found.custom_metadata) == (session_hash(session_id), "alice", {"n": [1]})
    assert (found.created_at, found.expires_at, found.version) == (before["created_at"], before["expires_at"], 1)
    assert found.last_accessed == before["last_accessed"]


async def test_neither_ids_nor_other_text_are_references(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for text in (session_id, "", "00", session_hash("another"), f"{session_hash(session_id)} ", None):
        assert await manager.get_listed_session(text) is None
    assert await single.manager("other").get_listed_session(session_hash(session_id)) is None
    await manager.delete_session(session_id)
    assert await manager.get_listed_session(session_hash(session_id)) is None


async def test_the_reference_of_an_old_id_leads_to_the_new_session_during_its_grace_period(single):
    manager = single.manager()
    old = await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=30)
    assert (await manager.get_listed_session(session_hash(old))).reference == session_hash(new)
    await single.advance(seconds=31)
    assert await manager.get_listed_session(session_hash(old)) is None
    assert (await manager.get_listed_session(session_hash(new))).reference == session_hash(new)
