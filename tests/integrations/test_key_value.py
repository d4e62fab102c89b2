"""The store of py-key-value-aio on every backend: the contract in its documentation, and FastMCP's use of it."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from key_value.aio.errors import DeserializationError, InvalidTTLError, SerializationError
from key_value.aio.protocols import key_value as protocols
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper

from chuk_sessions import MetadataTooLargeError, SessionManager
from chuk_sessions.integrations.key_value import ChukStore
from chuk_sessions.integrations.upserts import value_id
from chuk_sessions.providers import memory, redis
from tests.harness.servers import Server
from tests.harness.worlds import World

VALUE = {"text": "naïve\0", "list": [1, 2.5, None, True], "nested": {"a": {"b": []}}, "": ""}
NAMES = ["c", "c" * 1500, "a/b", "{tag}", "\0", "ключ", "\ud800", "!@#$%^&*()", "a:b"]


@pytest.fixture
def store(world: World) -> ChukStore:
    return ChukStore(session_factory=world.factory, sandbox_id="store")


def test_it_offers_the_protocols_that_it_can_keep(store: ChukStore):
    assert isinstance(store, protocols.AsyncKeyValue)
    assert isinstance(store, protocols.AsyncCullProtocol)
    assert isinstance(store, protocols.AsyncDestroyStoreProtocol)
    # The store has only hashes of names.
    assert not isinstance(store, protocols.AsyncEnumerateKeysProtocol)
    assert not isinstance(store, protocols.AsyncEnumerateCollectionsProtocol)
    assert not isinstance(store, protocols.AsyncDestroyCollectionProtocol)


async def test_a_value_comes_back(store: ChukStore):
    assert await store.get("key") is None
    await store.put("key", VALUE)
    assert await store.get("key") == VALUE
    await store.put("key", {"other": 1})
    assert await store.get("key") == {"other": 1}


async def test_names_may_be_any_text(store: ChukStore):
    pairs = [(collection, key) for collection in NAMES for key in [*NAMES, ""]]
    for number, (collection, key) in enumerate(pairs):
        await store.put(key, {"number": number}, collection=collection)
    for number, (collection, key) in enumerate(pairs):
        assert await store.get(key, collection=collection) == {"number": number}


async def test_calls_without_a_collection_use_the_default_one(world: World):
    store = ChukStore(session_factory=world.factory, sandbox_id="store", default_collection="mine")
    await store.put("key", VALUE)
    assert await store.get("key", collection="mine") == VALUE
    assert await store.get("key", collection="default_collection") is None
    assert await store.ttl("key") == (VALUE, None)
    assert await store.delete("key", collection="mine")


async def test_delete_tells_whether_there_was_a_value(store: ChukStore):
    assert await store.delete("key") is False
    await store.put("key", VALUE)
    assert await store.delete("key") is True
    assert await store.delete("key") is False
    assert await store.get("key") is None


async def test_only_one_of_concurrent_deletions_is_told_so(store: ChukStore):
    await store.put("key", VALUE)
    assert sorted(await asyncio.gather(*(store.delete("key") for _ in range(20)))) == [False] * 19 + [True]


async def test_put_restores_a_deleted_value(store: ChukStore):
    await store.put("key", VALUE)
    await store.delete("key")
    await store.put("key", {"new": True})
    assert await store.get("key") == {"new": True}


async def test_a_value_expires(store: ChukStore, world: World):
    await store.put("key", VALUE, ttl=100)
    await world.advance(seconds=40)
    assert await store.ttl("key") == (VALUE, 60.0)
    await world.advance(seconds=60)
    assert await store.get("key") is None
    assert await store.ttl("key") == (None, None)
    assert await store.delete("key") is False


async def test_a_value_without_a_ttl_stays(store: ChukStore, world: World):
    await store.put("key", VALUE, ttl=10)
    await store.put("key", VALUE)
    await world.advance(hours=24 * 365 * 300)
    assert await store.get("key") == VALUE
    assert await store.ttl("key") == (VALUE, None)


async def test_the_clock_of_this_host_does_not_matter(store: ChukStore, world: World):
    """The server is a year ahead of this host."""
    await world.advance(hours=24 * 365)
    await store.put("key", VALUE, ttl=10)
    assert await store.get("key") == VALUE
    assert await store.ttl("key") == (VALUE, 10.0)
    await world.advance(hours=-24 * 730)
    assert await store.get("key") == VALUE


@pytest.mark.parametrize("ttl", [1e-9, 0.0015, 10**6])
async def test_a_ttl_may_be_short_or_long(store: ChukStore, ttl: float):
    await store.put("key", VALUE, ttl=ttl)
    value, left = await store.ttl("key")
    assert value == VALUE
    assert left == pytest.approx(ttl, abs=0.001)


@pytest.mark.parametrize("ttl", [0, -1, True])
async def test_a_malformed_ttl_is_refused(store: ChukStore, ttl: Any):
    await store.put("key", VALUE)
    with pytest.raises(InvalidTTLError):
        await store.put("key", {"other": 1}, ttl=ttl)
    assert await store.get("key") == VALUE


def _cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"a": object()},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": datetime.now(UTC)},
        {"a": {(1, 2): 3}},
        _cycle(),
        _deep(100_000),
    ],
    ids=["object", "bytes", "set", "datetime", "key", "cycle", "depth"],
)
async def test_a_value_that_cannot_be_serialized_raises_an_error(store: ChukStore, value: Any):
    await store.put("key", VALUE)
    with pytest.raises(SerializationError):
        await store.put("key", value)
    with pytest.raises(SerializationError):
        await store.put_many(["key", "other"], [{"new": 1}, value])
    assert await store.get_many(["key", "other"]) == [VALUE, None]


async def test_other_values_come_back_as_with_the_other_stores(store: ChukStore):
    await store.put("key", {"tuple": (1, 2), "keys": {1: 2}, "infinity": math.inf, "$chuk": {"bytes": "eA=="}})
    expected = {"tuple": [1, 2], "keys": {"1": 2}, "infinity": math.inf, "$chuk": {"bytes": "eA=="}}
    assert await store.get("key") == expected
    await store.put("key", {"$chuk": {"bytes": "eA=="}})
    assert await store.get("key") == {"$chuk": {"bytes": "eA=="}}


async def test_many_values_in_one_call(store: ChukStore):
    keys = [f"key-{number}" for number in range(300)]
    await store.put_many(keys, [{"number": number} for number in range(300)], ttl=100)
    assert await store.get_many([*keys, "missing"]) == [*({"number": number} for number in range(300)), None]
    assert await store.ttl_many([keys[7], "missing"]) == [({"number": 7}, 100.0), (None, None)]
    assert await store.delete_many([*keys, keys[0], "missing"]) == 300
    assert await store.get_many(keys) == [None] * 300
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    await store.put_many([], [])


async def test_the_last_of_several_values_for_a_key_counts(store: ChukStore):
    await store.put_many(["key", "other", "key"], [{"n": 1}, {"n": 2}, {"n": 3}])
    assert await store.get_many(["key", "other"]) == [{"n": 3}, {"n": 2}]


async def test_as_many_values_as_keys_are_needed(store: ChukStore):
    with pytest.raises(ValueError, match="different number"):
        await store.put_many(["a", "b"], [VALUE])


async def test_a_value_may_be_large(store: ChukStore):
    await store.put("key", {"text": "x" * 2**22})
    assert await store.get("key") == {"text": "x" * 2**22}
    with pytest.raises(MetadataTooLargeError):
        await store.put("key", {"text": "x" * 2**24})


async def test_destroy_deletes_this_store_only(store: ChukStore, world: World):
    other = ChukStore(session_factory=world.factory, sandbox_id="other")
    for each in (store, other):
        await each.put("key", VALUE, collection="a")
        await each.put("key", VALUE, collection="b", ttl=10)
    assert await store.destroy() is True
    assert await store.get("key", collection="a") is None
    assert await store.get("key", collection="b") is None
    assert await other.get("key", collection="a") == VALUE


async def test_cull_removes_expired_values(store: ChukStore, world: World):
    await store.put("key", VALUE, ttl=1)
    await store.put("other", VALUE)
    await world.advance(seconds=2)
    await store.cull()
    assert await world.manager("store").cleanup_expired_sessions() == 0
    assert await store.get("other") == VALUE


@pytest.mark.parametrize("stored", [{"$chuk": {"text": "not JSON"}}, ["list"], "text", None])
async def test_a_value_that_another_program_has_written_raises_a_typed_error(store: ChukStore, world: World, stored):
    await world.manager("store").allocate_session(
        value_id("default_collection", "key"), custom_metadata={"value": stored}
    )
    with pytest.raises(DeserializationError):
        await store.get("key")
    with pytest.raises(DeserializationError):
        await store.ttl("key")


async def test_wrappers_work(store: ChukStore):
    wrapped = TTLClampWrapper(PrefixCollectionsWrapper(store, "shop"), min_ttl=1, max_ttl=100, missing_ttl=60)
    await wrapped.put("key", VALUE)
    value, left = await wrapped.ttl("key")
    assert value == VALUE
    assert left == pytest.approx(60, abs=0.1)
    assert await store.get("key") is None


async def test_a_closed_store_can_be_used_again(store: ChukStore):
    async with store as entered:
        assert entered is store
        await store.put("key", VALUE)
    assert await store.get("key") == VALUE
    await store.close()
    await store.close()


async def test_it_works_on_a_custom_provider(single: World):
    store = ChukStore(session_factory=single.factory, sandbox_id="store")
    await store.put("key", VALUE, ttl=10)
    assert await store.ttl("key") == (VALUE, 10.0)
    assert await store.delete("key")


def test_it_needs_no_event_loop_and_serves_several(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    store = ChukStore()

    async def use(number: int):
        await store.put(str(number), {"number": number})
        return await store.get("0")

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, use(number)) for number in range(4)))

    assert asyncio.run(use(0)) == {"number": 0}
    assert asyncio.run(main()) == [{"number": 0}] * 4

    async def count() -> int:
        async with SessionManager("shop.key-value", redis.factory(server.url)) as manager:
            return await manager.count_sessions()

    assert asyncio.run(count()) == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON))
def test_any_json_comes_back(value: dict[str, Any]):
    async def round_trip() -> str:
        store = ChukStore(session_factory=memory.factory(), sandbox_id="any-json")
        await store.put("key", value)
        return repr(await store.get("key"))

    assert asyncio.run(round_trip()) == repr(value)
