"""The interface of the cache: the same results with and without it, on every provider."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref
from dataclasses import FrozenInstanceError

import pytest

from chuk_sessions import (
    CachedSession,
    CorruptRecordError,
    LocalCache,
    ManagerClosedError,
    SessionManager,
    SessionMetadata,
)
from chuk_sessions.core import data_operations
from chuk_sessions.core.keys import session_keys
from chuk_sessions.exceptions import KeyUnavailableError
from tests.cache.tools import cached_at, fill, new_session, reads_of, record_of, stats, view_of
from tests.encryption.stored import encryption
from tests.harness.toy_codec import ToyCodec
from tests.redis.tools import until

METADATA = {
    "text": "x", "number": 2**70, "none": None, "list": [1, {"a": [2.5]}], "dict": {"b": {"c": "\ud800"}}, "flag": True,
}  # fmt: skip
FIGURES = {"cached_sessions", "hits", "misses", "joined", "invalidations", "flushes", "evictions"}
ALWAYS = {"tracking", "why_off", "sandbox_id", "default_ttl_hours", "provider"}


@pytest.fixture
def cached(single):
    return single.manager(touch_interval_seconds=60, local_cache=LocalCache(max_staleness_seconds=5))


async def warmed(manager, session_id):
    """Read a session a few times, so that it is cached if that is possible here."""
    for _ in range(20):
        if manager.cached_session(session_id) is not None:
            return
        await manager.get_session_metadata(session_id)
        await asyncio.sleep(0.002)


async def test_results_are_the_same_with_and_without_a_cache(single, cached):
    plain = single.manager(touch_interval_seconds=60)
    session_id = await plain.allocate_session(user_id="ann", custom_metadata=METADATA)
    await warmed(cached, session_id)
    for _ in range(3):
        model = await plain.get_session_metadata(session_id)
        assert await cached.get_session_metadata(session_id) == model == await cached.load_session(session_id)
        assert (await cached.get_session_metadata(session_id)).version == model.version
        assert vars(await cached.get_session_metadata(session_id)).keys() == vars(model).keys()
        info = await plain.get_session_info(session_id)
        assert list((await cached.get_session_info(session_id)).items()) == list(info.items())
        assert await cached.validate_session(session_id) is True
    await cached.aclose()


async def test_callers_get_copies(single, cached):
    session_id = await cached.allocate_session(custom_metadata=METADATA)
    await warmed(cached, session_id)
    for method in (cached.get_session_metadata, cached.load_session):
        session = await method(session_id)
        session.custom_metadata["list"][1]["a"].append(9)
        session.custom_metadata["new"] = 1
        session.user_id = "mallory"
    info = await cached.get_session_info(session_id)
    info["custom_metadata"]["dict"]["b"].clear()
    info["user_id"] = "mallory"
    assert (await cached.get_session_metadata(session_id)).custom_metadata == METADATA
    assert (await cached.get_session_info(session_id))["custom_metadata"] == METADATA
    assert (await cached.load_session(session_id)).user_id is None
    await cached.aclose()


async def test_changes_are_seen_at_once(single, cached):
    session_id = await cached.allocate_session(custom_metadata={"n": 0})
    for number in range(1, 5):
        await warmed(cached, session_id)
        await cached.update_session_metadata(session_id, {"n": number})
        assert (await cached.get_session_metadata(session_id)).custom_metadata == {"n": number}
    await warmed(cached, session_id)
    assert await cached.delete_session(session_id)
    assert not await cached.validate_session(session_id)
    assert await cached.load_session(session_id) is await cached.get_session_info(session_id) is None
    assert cached.cached_session(session_id) is None
    await cached.aclose()


async def test_fresh_calls_reach_the_store(single):
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    session_id = await single.manager().allocate_session()
    manager = single.intercepted(note)
    for method, name in (
        (manager.validate_session, "validate"),
        (manager.load_session, "load"),
        (manager.get_session_info, "read"),
        (manager.get_session_metadata, "read"),
    ):
        assert await method(session_id, fresh=True)
        assert calls.pop() == name


async def test_fresh_calls_bypass_the_cache(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        for method in (
            manager.validate_session, manager.load_session, manager.get_session_info, manager.get_session_metadata,
        ):  # fmt: skip
            await fill(manager, session_id)
            before = reads_of(server)
            assert await method(session_id)
            assert reads_of(server) == before
            assert await method(session_id, fresh=True)
            assert reads_of(server) > before
        with server.client() as client:
            client.delete(record_of(session_id))
        assert not await manager.validate_session(session_id, fresh=True)
        assert not await manager.validate_session(session_id)


async def test_a_frozen_view_has_all_attributes_and_cannot_be_changed(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, user_id="ann", custom_metadata={**METADATA, "dict": {"b": {"c": 1}}})
        found, model = manager.cached_session(session_id), await manager.get_session_metadata(session_id)
        assert isinstance(found, CachedSession)
        assert found is manager.cached_session(session_id)
        names = [name for name in CachedSession.__slots__ if name != "custom_metadata"]
        assert {name: getattr(found, name) for name in names} == {name: getattr(model, name) for name in names}
        assert set(names) == set(vars(model)) - {"custom_metadata"}
        assert found.custom_metadata["list"] == (1, {"a": (2.5,)})
        with pytest.raises(FrozenInstanceError):
            found.user_id = "mallory"
        with pytest.raises(TypeError):
            found.custom_metadata["new"] = 1
        with pytest.raises(TypeError):
            found.custom_metadata["dict"]["b"]["c"] = 1


async def test_the_emulator_finds_each_session(world):
    manager = world.manager(local_cache=LocalCache())
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    await warmed(manager, session_id)
    assert manager.cached_session(session_id).custom_metadata == {"a": 1}
    assert manager.cached_session("unknown") is manager.cached_session("..") is None
    assert stats(manager)["tracking"] is True
    assert stats(manager)["why_off"] is None
    await manager.aclose()


@pytest.mark.parametrize("session_id", ["", "..", "x" * 100_000, "\ud800", None, 7, [1], {}])
async def test_malformed_ids_are_ids_of_no_session(single, cached, session_id):
    assert await cached.validate_session(session_id) is False
    assert await cached.load_session(session_id) is None
    assert await cached.get_session_info(session_id) is None
    assert await cached.get_session_metadata(session_id) is None
    assert cached.cached_session(session_id) is None
    await cached.aclose()


async def test_statistics(single, cached):
    plain = single.manager()
    assert set(stats(plain)) == set(stats(cached)) == FIGURES | ALWAYS
    assert {stats(plain)[name] for name in FIGURES} == {0}
    assert (stats(plain)["tracking"], stats(plain)["why_off"]) == (False, "the manager has no local_cache")
    await cached.aclose()


async def test_a_custom_provider_has_no_cache_and_says_why():
    from chuk_sessions.backends.memory import ManualClock
    from tests.harness.worlds import CustomWorld

    manager = CustomWorld(ManualClock()).manager(local_cache=LocalCache())
    session_id = await manager.allocate_session()
    assert await manager.validate_session(session_id)
    assert manager.cached_session(session_id) is None
    assert stats(manager)["why_off"] == "a custom provider does not report changes"


async def test_figures_count_what_happened(server):
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        before = stats(manager)
        for _ in range(5):
            await manager.validate_session(session_id)
            manager.cached_session(session_id)
        after = stats(manager)
        assert (after["hits"] - before["hits"], after["cached_sessions"]) == (10, 1)
        assert after["misses"] == before["misses"] >= 1


async def test_max_sessions(server):
    async with cached_at(server.url, LocalCache(max_sessions=10)) as manager:
        hot = await new_session(manager)
        for _ in range(40):
            session_id = await manager.allocate_session()
            for _ in range(2):
                assert await manager.get_session_metadata(session_id)
            assert manager.cached_session(hot) is not None
        assert stats(manager)["cached_sessions"] == 10
        assert stats(manager)["evictions"] == 31
        assert len(view_of(manager)._admitted) <= 10


async def test_max_age(server):
    async with cached_at(server.url, LocalCache(max_age_seconds=0.05)) as manager:
        session_id = await new_session(manager)
        await until(lambda: manager.cached_session(session_id) is None)
        assert await manager.validate_session(session_id)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_sessions", 0), ("max_sessions", -1), ("max_sessions", 1.5), ("max_sessions", True), ("max_sessions", "1"),
        ("max_staleness_seconds", 0), ("max_staleness_seconds", 0.01), ("max_staleness_seconds", float("nan")),
        ("max_staleness_seconds", float("inf")), ("max_staleness_seconds", "1"), ("max_age_seconds", 0),
        ("max_age_seconds", -1), ("max_age_seconds", None), ("max_age_seconds", True),
    ],
)  # fmt: skip
def test_malformed_limits_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        LocalCache(**{name: value})


def test_the_repr_shows_the_limits():
    assert repr(LocalCache()) == "LocalCache(max_sessions=10000, max_staleness_seconds=1, max_age_seconds=60)"


async def test_a_closed_manager_answers_nothing(single, cached):
    session_id = await cached.allocate_session()
    await warmed(cached, session_id)
    await cached.aclose()
    for method in (
        cached.validate_session, cached.load_session, cached.get_session_info, cached.get_session_metadata,
    ):  # fmt: skip
        with pytest.raises(ManagerClosedError):
            await method(session_id)
    with pytest.raises(ManagerClosedError):
        cached.cached_session(session_id)
    assert stats(cached)["cached_sessions"] == 0


async def test_a_manager_that_is_not_closed_leaves_no_listener(server):
    async with cached_at(server.url) as kept:
        hook = kept._backend.write_hook
        before = len(hook.listeners)
        async with cached_at(server.url) as closed:
            await new_session(closed)
            assert len(hook.listeners) == before + 1
        assert len(hook.listeners) == before
        forgotten = SessionManager("test", kept.session_factory, local_cache=LocalCache())
        await warmed(forgotten, await forgotten.allocate_session())
        reference = weakref.ref(forgotten)
        del forgotten
        gc.collect()
        assert reference() is None
        assert len(hook.listeners) == before


async def test_managers_share_the_connections_of_a_cache(server):
    cache = LocalCache()
    async with cached_at(server.url, cache, client_name="shared") as manager:
        others = [SessionManager(f"tenant-{n}", manager.session_factory, local_cache=cache) for n in range(5)]
        for one in others:
            await warmed(one, await one.allocate_session())
            assert stats(one)["cached_sessions"] == 1
        assert len(cache._stores) == 1
        ((store, managers),) = cache._stores.values()
        assert managers == 6
        assert len(store.loop_caches()) == 1
        for one in others:
            await one.aclose()


async def test_a_subclass_keeps_its_own_methods(server):
    class Counting(SessionManager):
        calls = 0

        async def validate_session(self, session_id, *, fresh=False):
            self.calls += 1
            return await super().validate_session(session_id, fresh=fresh)

    async with cached_at(server.url) as manager:
        mine = Counting("test", manager.session_factory, touch_interval_seconds=60, local_cache=LocalCache())
        session_id = await mine.allocate_session()
        await warmed(mine, session_id)
        assert await mine.validate_session(session_id)
        assert mine.calls == 1
        assert mine.cached_session(session_id)
        await mine.aclose()


async def test_damaged_records_raise_the_same_error(single, cached):
    session_id = await cached.allocate_session()
    await warmed(cached, session_id)
    call = data_operations.merge(session_keys("test", session_id), pairs=[b"m:x", b"{"])
    await single.backend.run(call)
    for _ in range(3):
        with pytest.raises(CorruptRecordError):
            await cached.get_session_metadata(session_id)
        with pytest.raises(CorruptRecordError):
            await cached.load_session(session_id)
        await asyncio.sleep(0.002)
    assert cached._cache.methods == {} or cached.cached_session(session_id) is None
    await cached.aclose()


async def test_encoded_values_are_cached_decoded(server):
    async with cached_at(server.url) as base:
        manager = SessionManager(
            "test", base.session_factory, touch_interval_seconds=60, local_cache=LocalCache(), _values=ToyCodec
        )
        session_id = await new_session(manager, user_id="ann", custom_metadata={"secret": [1]})
        assert isinstance(await manager.get_session_metadata(session_id), SessionMetadata)
        assert (await manager.get_session_metadata(session_id)).custom_metadata == {"secret": [1]}
        assert manager.cached_session(session_id).user_id == "ann"
        await manager.aclose()


async def test_a_session_takes_at_most_two_kilobytes(server):
    async with cached_at(server.url, LocalCache(max_sessions=3000)) as manager:
        await new_session(manager)
        metadata = {"name": "Ann Example", "theme": "dark", "visits": 17, "locale": "en-US"}
        sessions = [await manager.allocate_session(user_id=f"user{n}", custom_metadata=metadata) for n in range(500)]
        gc.collect()
        tracemalloc.start()
        try:
            for first in (*range(0, 500, 50), *range(0, 500, 50)):
                await asyncio.gather(*map(manager.get_session_metadata, sessions[first : first + 50]))
            gc.collect()
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert stats(manager)["cached_sessions"] == 501
        print(f"{taken / 500:.0f} bytes")
        assert taken / 500 < 2000


async def test_encrypted_values_are_cached_as_plain_ones(server):
    """Each manager decodes with its own codec, and a hit decrypts nothing."""
    cache = LocalCache(max_staleness_seconds=5)
    async with cached_at(server.url, cache) as plain:
        factory, options = plain.session_factory, {"touch_interval_seconds": 60, "local_cache": cache}
        mine = SessionManager("test", factory, encryption=encryption(), **options)
        reader = SessionManager("test", factory, encryption=encryption("old"), **options)
        tenant = SessionManager("tenant", factory, encryption=encryption(), events="updates", **options)
        values = {"list": [1, {"a": "ü"}], "text": "x", "none": None}
        sessions = {one: await new_session(one, user_id="ann", custom_metadata=values) for one in (mine, plain, tenant)}
        sessions[reader] = sessions[mine]
        await fill(reader, sessions[mine])
        before = reads_of(server)
        for manager, session_id in sessions.items():
            model = await manager.get_session_metadata(session_id)
            assert (model.custom_metadata, model.user_id) == (values, "ann")
            assert (await manager.get_session_info(session_id))["custom_metadata"] == values
            assert await manager.validate_session(session_id)
            assert view_of(manager).get(session_id).info["custom_metadata"] == values
        assert reads_of(server) == before
        # The other managers see a change at once, whichever codec they have.
        await mine.update_session_metadata(sessions[mine], {"text": "y"})
        assert reader.cached_session(sessions[mine]) is None
        assert (await reader.get_session_metadata(sessions[mine])).custom_metadata == {**values, "text": "y"}
        # Without the key, there is an error instead of a session, with and without the cache.
        for _ in range(3):
            with pytest.raises(KeyUnavailableError):
                await plain.get_session_metadata(sessions[mine])
        assert plain.cached_session(sessions[mine]) is None
        assert await tenant.delete_session(sessions[tenant])
        assert not await tenant.validate_session(sessions[tenant])
        for manager in (mine, reader, tenant):
            await manager.aclose()


async def test_ids_that_come_and_go_leave_nothing(server):
    async with cached_at(server.url, LocalCache(max_sessions=20)) as manager:
        for _ in range(100):
            session_id = await manager.allocate_session()
            await manager.get_session_metadata(session_id)
            await manager.validate_session(session_id)
            await manager.delete_session(session_id)
            assert await manager.get_session_metadata(session_id) is None
        view = view_of(manager)
        await until(lambda: not view.entries)
        assert (len(view._by_record), len(view._admitted) <= 20) == (0, True)
        sources = manager._cache._store.current()._sources
        assert len(sources) == 1, [(one.close_reason, one.lease_until) for one in sources]
