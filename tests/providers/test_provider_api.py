"""The provider API: single values, the same on every provider."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from chuk_sessions import ProviderError, SessionManager, factory_for_env, get_session, providers, session
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.backends.memory.strings import Strings
from chuk_sessions.providers import memory
from tests.harness.worlds import CustomWorld


async def test_stores_reads_and_deletes(world):
    async with world.factory() as store:
        assert await store.get("user:123") is None
        assert await store.setex("user:123", 300, "alice") is None
        assert await store.get("user:123") == "alice"
        assert await store.delete("user:123") is True
        assert await store.delete("user:123") is False
        assert await store.get("user:123") is None


async def test_values_outlive_the_session_that_stored_them(world):
    async with world.factory() as store:
        await store.set("k", "v")
    async with world.factory() as store:
        assert await store.get("k") == "v"


@pytest.mark.parametrize(
    "value", ["", "text", "naïve 名前 🎈", "x" * 1_000_000, b"bytes", "é".encode(), bytearray(b"b")]
)
async def test_values_are_text_whatever_they_came_as(world, value):
    text = value if isinstance(value, str) else bytes(value).decode()
    async with world.factory() as store:
        await store.setex("k", 60, value)
        assert await store.get("k") == text
        assert await store.getdel("k") == text


@pytest.mark.parametrize("value", [b"\xff", "\ud800", 7, 1.5, None, ["a"], {"a": 1}, True], ids=repr)
async def test_other_values_are_refused_and_nothing_is_lost(world, value):
    async with world.factory() as store:
        await store.setex("k", 60, "before")
        with pytest.raises(ValueError, match="value"):
            await store.setex("k", 60, value)
        with pytest.raises(ValueError, match="value"):
            await store.set("k", value)
        assert await store.get("k") == "before"


@pytest.mark.parametrize("ttl", [0, -1, 0.0, math.nan, math.inf, True, "60", None, 10**400], ids=repr)
async def test_odd_ttls_are_refused(world, ttl):
    async with world.factory() as store:
        with pytest.raises(ValueError, match="ttl"):
            await store.setex("k", ttl, "v")
        assert await store.get("k") is None


async def test_ttls_may_be_fractions(world):
    async with world.factory() as store:
        await store.setex("k", 1.5, "v")
        assert await store.get("k") == "v"


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 5000, "chuk1:{00}/s", "\x00"], ids=lambda key: key[:12])
async def test_keys_are_taken_as_given(world, key):
    async with world.factory() as store:
        await store.setex(key, 60, "v")
        assert await store.get(key) == "v"
        assert await store.get(key + "x") is None


@pytest.mark.parametrize("key", [None, 7, b"k", "\ud800"], ids=repr)
async def test_other_keys_are_refused(world, key):
    async with world.factory() as store:
        for call in (store.get(key), store.delete(key), store.getdel(key), store.setex(key, 1, "v")):
            with pytest.raises(ValueError, match="key"):
                await call


async def test_of_fifty_tasks_one_has_a_one_time_code(world):
    async def redeem():
        async with world.factory() as store:
            return await store.getdel("verify:alice")

    for number in range(5):
        async with world.factory() as store:
            await store.setex("verify:alice", 600, f"code-{number}")
        answers = await asyncio.gather(*(redeem() for _ in range(50)))
        assert sorted(answers, key=str) == sorted([f"code-{number}"] + [None] * 49, key=str)


async def test_does_not_look_like_a_larger_client(world):
    async with world.factory() as store:
        assert not [name for name in ("sadd", "srem", "smembers", "keys") if hasattr(store, name)]


async def test_the_server_keeps_the_ttl(server):
    from chuk_sessions.providers import redis

    async with redis.factory(server.url)() as store:
        await store.setex("k", 1.5, "v")
        await store.set("default", "v")
    with server.client() as client:
        assert 1000 < client.pttl("k") <= 1500
        assert 3_590_000 < client.pttl("default") <= 3_600_000


class TestMemory:
    async def test_ends_by_its_clock(self):
        clock = ManualClock()
        async with memory.factory(clock)() as store:
            await store.setex("k", 1.5, "v")
            clock.advance(ms=1499)
            assert await store.get("k") == "v"
            clock.advance(ms=1)
            assert await store.get("k") is None
            assert await store.delete("k") is False

    async def test_what_nobody_reads_goes_too(self):
        clock = ManualClock()
        factory = memory.factory(clock)
        async with factory() as store:
            for number in range(10_000):
                await store.setex(f"k{number}", 1, "v")
                await store.setex("again and again", 1000, "v")
                clock.advance(ms=1)
            assert len(factory.backend.strings) <= 2001

    def test_dropping_loses_no_value_that_is_set_meanwhile(self):
        class Meddled(dict):
            """Another thread's `set` comes between the look at a value and the removal, and another `get` after it."""

            def pop(self, key, default=None):
                self[key] = "newer", clock.now_ms() + 1000
                return super().pop(key, default)

            def setdefault(self, key, entry):
                reader.start()
                assert asked.wait(10)
                return super().setdefault(key, entry)

        class Asked:
            """The lock, which tells when a thread other than the first asks for it."""

            def __enter__(self):
                if threading.current_thread() is reader:
                    asked.set()
                lock.acquire()

            def __exit__(self, *_):
                lock.release()

        clock, lock, asked, found = ManualClock(), threading.Lock(), threading.Event(), []
        strings = Strings(clock)
        strings.values, strings._lock = Meddled(k=("ended", clock.now_ms())), Asked()
        reader = threading.Thread(target=lambda: found.append(strings.get("k")))
        clock.advance(seconds=1)
        strings.drop(clock.now_ms())
        reader.join()
        assert found == [strings.get("k")] == ["newer"]

    def test_dropping_keeps_the_newest_of_what_is_set_meanwhile(self):
        class Meddled(dict):
            def pop(self, key, default=None):
                self[key] = "newer", clock.now_ms() + 1000
                return super().pop(key, default)

            def setdefault(self, key, entry):
                self[key] = "newest", clock.now_ms() + 1000
                return super().setdefault(key, entry)

        clock = ManualClock()
        strings = Strings(clock)
        strings.values = Meddled(k=("ended", clock.now_ms()))
        clock.advance(seconds=1)
        strings.drop(clock.now_ms())
        assert strings.get("k") == "newest"

    async def test_threads_find_what_they_have_just_set_while_values_are_dropped(self):
        clock = ManualClock()
        factory = memory.factory(clock)

        async def use(name):
            async with factory() as store:
                for number in range(2000):
                    clock.advance(seconds=2)
                    await store.setex(f"{name}{number % 5}", 1, "short")
                    await store.setex(f"{name}{number % 5}", 1_000_000, f"{number}")
                    assert await store.get(f"{name}{number % 5}") == f"{number}"

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: asyncio.run(use(name)), "abcd"))
        assert len(factory.backend.strings) == 20

    async def test_is_shared_by_all_factories_of_the_process(self):
        async with memory.factory()() as store:
            await store.set("shared by all", "v")
        async with memory.factory()() as store:
            assert await store.getdel("shared by all") == "v"

    async def test_with_a_clock_it_is_apart(self):
        async with memory.factory(ManualClock())() as store:
            await store.set("apart", "v")
        async with memory.factory()() as store:
            assert await store.get("apart") is None


class TestFactoryForEnv:
    @pytest.mark.parametrize("name", ["memory", "mem", "inmemory", "MEMORY", None])
    async def test_finds_memory_by_its_names(self, monkeypatch, name):
        monkeypatch.delenv("SESSION_PROVIDER", raising=False)
        if name:
            monkeypatch.setenv("SESSION_PROVIDER", name)
        assert factory_for_env().backend.name == "memory"

    @pytest.mark.parametrize("name", ["redis", "redis_store"])
    async def test_finds_redis_by_its_names(self, monkeypatch, server, name):
        monkeypatch.setenv("SESSION_PROVIDER", name)
        monkeypatch.setenv("SESSION_REDIS_URL", server.url)
        async with factory_for_env()() as store:
            await store.setex("k", 60, "v")
        with server.client() as client:
            assert client.get("k") == b"v"

    def test_an_unknown_name_is_an_unknown_module(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "carrier_pigeon")
        with pytest.raises(ModuleNotFoundError):
            factory_for_env()
        with pytest.raises(ModuleNotFoundError):
            SessionManager("test")

    @pytest.mark.parametrize(
        ("name", "close"), [("reids", "redis"), ("memroy", "memory"), ("redis-store", "redis_store")]
    )
    def test_an_unknown_name_is_answered_with_what_there_is(self, monkeypatch, name, close):
        monkeypatch.setenv("SESSION_PROVIDER", name)
        with pytest.raises(ModuleNotFoundError, match=f"'{name}'. Available are memory, redis. Did you mean '{close}'"):
            factory_for_env()

    def test_a_name_like_no_other_gets_no_guess(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "carrier_pigeon")
        with pytest.raises(ModuleNotFoundError, match=r"Available are memory, redis\.$"):
            factory_for_env()

    def test_what_a_provider_itself_lacks_is_named(self, monkeypatch, tmp_path):
        (tmp_path / "needy.py").write_text("import no_such_package\n")
        monkeypatch.setattr("chuk_sessions.providers.__path__", [*providers.__path__, str(tmp_path)])
        monkeypatch.setenv("SESSION_PROVIDER", "needy")
        with pytest.raises(ModuleNotFoundError, match="no_such_package"):
            factory_for_env()

    @pytest.mark.parametrize("name", ["empty", "values"])
    def test_a_module_without_factory_is_refused(self, monkeypatch, name):
        monkeypatch.setitem(sys.modules, "chuk_sessions.providers.empty", types.ModuleType("empty"))
        monkeypatch.setenv("SESSION_PROVIDER", name)
        with pytest.raises(AttributeError, match=r"lacks a factory\(\) function"):
            factory_for_env()

    def test_looks_the_factory_up_when_it_is_called(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "memory")
        monkeypatch.setattr("chuk_sessions.providers.memory.factory", lambda: "replaced")
        assert factory_for_env() == "replaced"

    async def test_get_session_is_the_short_way(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "memory")
        assert session is get_session
        async with get_session() as store:
            await store.set("short way", "v")
            assert await store.getdel("short way") == "v"

    async def test_a_missing_package_is_told(self, monkeypatch):
        from chuk_sessions.providers import redis

        for name in [name for name in sys.modules if name.startswith("chuk_sessions.backends.redis")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ProviderError, match=r"pip install 'chuk-sessions\[redis\]'"):
            redis.factory("redis://localhost")


class TestDefaultTtl:
    async def test_is_read_when_the_factory_is_made(self, monkeypatch, server):
        from chuk_sessions.providers import redis

        monkeypatch.setenv("SESSION_DEFAULT_TTL", "7")
        factory = redis.factory(server.url)
        monkeypatch.setenv("SESSION_DEFAULT_TTL", "9")
        async with factory() as store:
            await store.set("k", "v")
        with server.client() as client:
            assert 6000 < client.pttl("k") <= 7000

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "٣"])
    def test_odd_ones_are_refused(self, monkeypatch, text):
        monkeypatch.setenv("SESSION_DEFAULT_TTL", text)
        with pytest.raises(ValueError, match="SESSION_DEFAULT_TTL"):
            memory.factory()


class TestCustomProvider:
    async def test_the_plainest_one_works_under_a_manager(self):
        values = {}

        class Plain:
            async def setex(self, key, ttl, value):
                values[key] = value.encode()

            async def get(self, key):
                return values.get(key)

            async def delete(self, key):
                values.pop(key, None)

            async def close(self):
                pass

        @asynccontextmanager
        async def factory():
            yield Plain()

        manager = SessionManager("test", factory)
        session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": "\ud800é"})
        assert await manager.validate_session(session_id)
        assert (await manager.get_session_info(session_id))["custom_metadata"] == {"a": "\ud800é"}
        assert await manager.delete_session(session_id)
        assert values == {}

    async def test_managers_of_one_process_lose_no_update(self):
        world = CustomWorld(ManualClock())
        managers = [world.manager() for _ in range(3)]
        await managers[0].allocate_session("s1")
        await asyncio.gather(*(manager.increment_session_counter("s1", "n") for manager in managers * 50))
        assert (await managers[0].get_session_info("s1"))["custom_metadata"] == {"n": 150}

    async def test_an_outage_is_a_typed_error(self):
        @asynccontextmanager
        async def factory():
            raise OSError("no route to host")
            yield

        with pytest.raises(ProviderError):
            await SessionManager("test", factory).validate_session("s1")

    async def test_what_is_no_record_is_a_typed_error(self):
        from chuk_sessions import CorruptRecordError

        world = CustomWorld(ManualClock())
        manager = world.manager()
        await manager.allocate_session("s1")
        for garbage in ("{", "[]", "7", "[1, {}, 3]", '["x", {}]', "[1, []]"):
            world.values = dict.fromkeys(world.values, garbage)
            with pytest.raises(CorruptRecordError):
                await manager.validate_session("s1")

    async def test_what_needs_an_index_is_not_supported(self):
        from chuk_sessions import NotSupportedError

        manager = CustomWorld(ManualClock()).manager()
        for call in (
            manager.list_sessions(),
            manager.count_sessions(),
            manager.list_user_sessions("alice"),
            manager.revoke_user_sessions("alice"),
            manager.cleanup_expired_sessions(all_sandboxes=True),
        ):
            with pytest.raises(NotSupportedError):
                await call
        capped = CustomWorld(ManualClock()).manager(max_sessions_per_user=1)
        with pytest.raises(NotSupportedError):
            await capped.allocate_session(user_id="alice")
