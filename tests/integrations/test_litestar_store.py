"""The store for Litestar on every backend: the contract of its base class, and what its own stores do."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.stores.base import NamespacedStore, Store

from chuk_sessions import MetadataTooLargeError, SessionManager
from chuk_sessions.integrations.litestar import ChukStore
from chuk_sessions.providers import memory, redis
from tests.harness.servers import Server
from tests.harness.worlds import World

KEYS = ["key", "", "\0", "a/b", "{tag}", "ключ", "\ud800", "k" * 5000]
VALUES = [b"text", b"", "текст".encode(), b"\0\x01", b"\xff\xfe", bytes(range(256)), b'{"$chuk":{"bytes":"eA=="}}']


@pytest.fixture
def store(world: World) -> ChukStore:
    return ChukStore(session_factory=world.factory, sandbox_id="store")


def test_it_is_a_store(store: ChukStore):
    assert isinstance(store, Store)
    assert isinstance(store, NamespacedStore)


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_bytes_come_back_exactly(store: ChukStore, value: bytes):
    await store.set("key", value)
    assert await store.get("key") == value


async def test_a_text_comes_back_as_bytes(store: ChukStore):
    await store.set("key", "naïve")
    assert await store.get("key") == "naïve".encode()


async def test_keys_may_be_any_text(store: ChukStore):
    for number, key in enumerate(KEYS):
        await store.set(key, str(number))
    for number, key in enumerate(KEYS):
        assert await store.get(key) == str(number).encode()


async def test_a_missing_key_has_no_value(store: ChukStore):
    assert await store.get("key") is None
    assert await store.get("key", renew_for=10) is None
    assert await store.exists("key") is False
    assert await store.expires_in("key") is None
    await store.delete("key")


async def test_set_replaces_value_and_lifetime(store: ChukStore):
    await store.set("key", "old", expires_in=10)
    await store.set("key", "new")
    assert await store.get("key") == b"new"
    assert await store.expires_in("key") == -1
    await store.set("key", "newer", expires_in=timedelta(minutes=2))
    assert await store.get("key") == b"newer"
    assert await store.expires_in("key") == 120


async def test_set_restores_a_deleted_value(store: ChukStore):
    await store.set("key", "old")
    await store.delete("key")
    assert await store.exists("key") is False
    await store.set("key", "new")
    assert await store.exists("key") is True


async def test_a_value_expires(store: ChukStore, world: World):
    await store.set("key", "value", expires_in=10)
    await world.advance(seconds=9)
    assert await store.expires_in("key") == 1
    assert await store.get("key") == b"value"
    await world.advance(seconds=1)
    assert await store.get("key") is None
    assert await store.exists("key") is False
    assert await store.expires_in("key") is None


async def test_a_value_without_a_lifetime_stays(store: ChukStore, world: World):
    await store.set("key", "value")
    await world.advance(hours=24 * 365 * 300)
    assert await store.get("key") == b"value"
    assert await store.expires_in("key") == -1


@pytest.mark.parametrize("renew_for", [100, timedelta(seconds=100)])
async def test_an_access_renews_a_value_that_expires(store: ChukStore, world: World, renew_for):
    await store.set("key", "value", expires_in=10)
    await world.advance(seconds=5)
    assert await store.get("key", renew_for=renew_for) == b"value"
    assert await store.expires_in("key") == 100
    assert await store.get("key", renew_for=3) == b"value"
    assert await store.expires_in("key") == 3


async def test_an_access_gives_no_lifetime_to_a_value_without_one(store: ChukStore):
    await store.set("key", "value")
    assert await store.get("key", renew_for=10) == b"value"
    assert await store.expires_in("key") == -1


async def test_a_renewal_spares_a_value_that_was_set_meanwhile(world: World):
    """The new value has no lifetime, and an access that read the old one must not give it one."""
    other = ChukStore(session_factory=world.factory, sandbox_id="test")

    async def before(call):
        if call.operation.name == "merge":
            await other.set("key", "new")

    store = ChukStore(manager=world.intercepted(before))
    await other.set("key", "old", expires_in=10)
    assert await store.get("key", renew_for=10) == b"old"
    assert await store.get("key") == b"new"
    assert await store.expires_in("key") == -1


async def test_concurrent_accesses_all_renew(store: ChukStore):
    await store.set("key", "value", expires_in=10)
    found = await asyncio.gather(*(store.get("key", renew_for=100) for _ in range(50)))
    assert found == [b"value"] * 50
    assert await store.expires_in("key") == 100


@pytest.mark.parametrize("seconds", [0, -1, timedelta(0), math.nan])
async def test_a_lifetime_must_be_positive(store: ChukStore, seconds):
    await store.set("key", "value")
    with pytest.raises(ValueError, match="positive"):
        await store.set("key", "other", expires_in=seconds)
    assert await store.get("key") == b"value"


async def test_delete_all_spares_other_sandboxes(store: ChukStore, world: World):
    manager = world.manager("store-2")
    session_id = await manager.allocate_session(user_id="alice")
    for number in range(600):
        await store.set(f"key-{number}", "value", expires_in=10 if number % 2 else None)
    await store.delete_all()
    assert [await store.exists(f"key-{number}") for number in range(600)] == [False] * 600
    assert await manager.validate_session(session_id)


async def test_namespaces_are_separate(store: ChukStore):
    names = ["foo", "FOO", "a.b", "bär", "x" * 300, "", "a/b"]
    stores = [store, *map(store.with_namespace, names), store.with_namespace("a").with_namespace("b")]
    for number, namespace in enumerate(stores):
        await namespace.set("key", str(number))
    assert [await namespace.get("key") for namespace in stores] == [str(n).encode() for n in range(len(stores))]


async def test_namespaces_are_named_like_those_of_litestar(store: ChukStore):
    assert store.namespace is None
    assert store.with_namespace("a").namespace == "a"
    assert store.with_namespace("a").with_namespace("b").namespace == "a_b"


async def test_delete_all_reaches_namespaces_within_and_no_others(store: ChukStore, world: World):
    child = store.with_namespace("child")
    sibling, grandchild = store.with_namespace("sibling"), child.with_namespace("grandchild")
    stores = [store, child, sibling, grandchild]

    async def existing():
        return [await each.exists("key") for each in stores]

    for each in stores:
        await each.set("key", "value")
    await child.delete_all()
    assert await existing() == [True, False, True, False]
    # Another process has not created these namespaces itself.
    await grandchild.set("key", "value")
    await ChukStore(session_factory=world.factory, sandbox_id="store").delete_all()
    assert await existing() == [False] * 4
    await grandchild.set("key", "value")
    await store.delete_all()
    assert await existing() == [False] * 4


async def test_a_manager_of_the_application_stays_open(world: World):
    manager = world.manager("mine")
    async with ChukStore(manager=manager) as nothing:
        assert nothing is None
    store = ChukStore(manager=manager)
    await store.set("key", "value")
    await store.aclose()
    assert await manager.count_sessions() == 1
    assert await store.get("key") == b"value"


async def test_a_closed_store_can_be_used_again(store: ChukStore):
    child = store.with_namespace("child")
    await child.set("key", "value")
    async with store:
        await store.set("key", "value")
    assert await store.get("key") == b"value"
    assert await child.get("key") == b"value"


async def test_it_works_on_a_custom_provider(single: World):
    store = ChukStore(session_factory=single.factory, sandbox_id="store")
    await store.set("key", b"\xff", expires_in=10)
    assert await store.get("key", renew_for=20) == b"\xff"
    assert await store.expires_in("key") == 20
    await store.delete("key")
    assert await store.get("key") is None


async def test_delete_expired_removes_index_entries(store: ChukStore, world: World):
    await store.set("key", "value", expires_in=1)
    await store.set("other", "value")
    await world.advance(seconds=2)
    await store.delete_expired()
    assert await world.manager("store").cleanup_expired_sessions() == 0
    assert await store.exists("other")


async def test_a_value_may_be_large(store: ChukStore):
    value = b"\xff" * 2**21
    await store.set("key", value)
    assert await store.get("key") == value
    with pytest.raises(MetadataTooLargeError):
        await store.set("key", "x" * (2**24 + 1))
    assert await store.get("key") == value


def test_arguments_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    monkeypatch.setenv("CHUK_SANDBOX_ID", "shop")
    store = ChukStore()

    async def count() -> int:
        await store.set("key", "value")
        async with SessionManager("shop.litestar", redis.factory(server.url)) as manager:
            number = await manager.count_sessions()
        await store.aclose()
        return number

    # One store serves several event loops in turn.
    assert [asyncio.run(count()) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(ValueError, match="not both"):
        ChukStore(manager=SessionManager("a"), sandbox_id="b")


def test_one_store_serves_several_loops_at_once(server: Server):
    store = ChukStore(session_factory=redis.factory(server.url), sandbox_id="store")

    async def use(number: int) -> bytes | None:
        await store.set(str(number), str(number))
        return await store.get(str(number))

    async def main() -> list[bytes | None]:
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, use(number)) for number in range(4)))

    assert asyncio.run(main()) == [b"0", b"1", b"2", b"3"]


@given(st.binary())
def test_any_bytes_come_back(value: bytes):
    async def round_trip() -> bytes | None:
        store = ChukStore(session_factory=memory.factory(), sandbox_id="any-bytes")
        await store.set("key", value, expires_in=60)
        return await store.get("key")

    assert asyncio.run(round_trip()) == value
