"""The synchronous SessionManager: every method on every backend, errors, iterators, and closing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
import weakref
from contextlib import asynccontextmanager, suppress

import pytest

from chuk_sessions import (
    ABSENT,
    CorruptRecordError,
    ManagerClosedError,
    NotACounterError,
    NotSupportedError,
    SessionUnavailableError,
    VersionConflictError,
)
from chuk_sessions.providers import memory, redis
from chuk_sessions.sync import SessionManager
from tests.harness.worlds import DictSession


@pytest.fixture
def manager(world):
    with SessionManager("test", world.factory) as manager:
        yield manager


def test_a_session_lives_on_every_backend(single):
    with SessionManager("test", single.factory) as manager:
        session_id = manager.allocate_session(user_id="ann", custom_metadata={"n": 1})
        assert manager.validate_session(session_id)
        assert manager.update_session_metadata(session_id, {"theme": "dark"}, expected={"theme": ABSENT})
        counted = manager.increment_session_counter(session_id, "n", 2)
        assert counted is not None
        assert counted.value == 3
        assert manager.append_session_metadata(session_id, "log", "a", "b") == len('["a","b"]')
        changed = manager.transform_session_metadata(session_id, "log", lambda log: [*log, "c"])
        assert changed is not None
        assert changed.value == ["a", "b", "c"]
        assert manager.extend_session_ttl(session_id, 1)
        assert manager.rate_limit_session(session_id, "api", 1, 60)
        session = manager.load_session(session_id)
        assert session is not None
        assert session.custom_metadata == {"n": 3, "theme": "dark", "log": ["a", "b", "c"]}
        newer = manager.rotate_session(session_id)
        assert newer is not None
        assert manager.get_session_info(session_id) is None
        assert manager.delete_session(newer)
        assert not manager.validate_session(newer)
        assert manager.ping().latency_ms >= 0


def test_lists_and_iterators_return_all_sessions(manager):
    created = {manager.allocate_session(user_id=f"user{number % 3}") for number in range(30)}
    references = set(manager.list_sessions())
    assert len(references) == len(created) == manager.count_sessions()
    assert set(manager.iter_sessions()) == references
    assert len(list(manager.iter_user_sessions("user1"))) == len(manager.list_user_sessions("user1")) == 10
    assert manager.revoke_user_sessions("user1") == 10
    assert manager.cleanup_expired_sessions() == 0


def test_an_iterator_need_not_be_exhausted(manager):
    for _ in range(20):
        manager.allocate_session()
    sessions = manager.iter_sessions()
    assert next(sessions)
    sessions.close()
    assert next(manager.iter_sessions())
    assert list(sessions) == []


def test_an_iterator_yields_what_comes_before_an_error():
    async def items():
        yield 1
        yield 2
        raise SessionUnavailableError("gone")

    with SessionManager("test", memory.factory()) as manager:
        iterator = manager._runner.iterate(items())
        assert [next(iterator), next(iterator)] == [1, 2]
        with pytest.raises(SessionUnavailableError, match="gone"):
            next(iterator)
        assert list(iterator) == []


def test_arguments_of_iterators_are_checked_at_once(manager):
    with pytest.raises(ValueError, match="user_id"):
        manager.iter_user_sessions("")


def test_grid_paths_and_properties_need_no_thread():
    manager = SessionManager("shop", memory.factory(), default_ttl_hours=2)
    assert manager.generate_artifact_key("s1", "a") == "grid/shop/s1/a"
    assert manager.parse_grid_key("grid/shop/s1/a") is not None
    assert (manager.sandbox_id, manager.default_ttl_hours) == ("shop", 2)
    assert manager.get_cache_stats()["provider"] == "memory"
    assert manager.session_factory is not None
    manager.close()


def test_errors_are_those_of_the_engine(manager):
    session_id = manager.allocate_session(custom_metadata={"text": "a"})
    with pytest.raises(NotACounterError):
        manager.increment_session_counter(session_id, "text")
    with pytest.raises(VersionConflictError) as conflict:
        manager.update_session_metadata(session_id, {}, expected_version=7)
    assert conflict.value.version == 1
    with pytest.raises(ValueError, match="additional_hours"):
        manager.extend_session_ttl(session_id, -1)


def test_a_traceback_shows_the_caller_and_the_engine():
    def caller_of_the_manager(manager):
        manager.extend_session_ttl("s1", -1)

    with SessionManager("test", memory.factory()) as manager, pytest.raises(ValueError, match="hours") as raised:
        caller_of_the_manager(manager)
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names.index("caller_of_the_manager") < names.index("ms_from_hours")


def test_an_error_leaves_no_cycle_of_references():
    """Such a cycle would keep everything in the frames of its traceback until the next garbage collection."""

    class Marker:
        pass

    def fail(manager):
        marker = Marker()
        alive.append(weakref.ref(marker))
        with suppress(ValueError):
            manager.extend_session_ttl("s1", -1)

    alive = []
    with SessionManager("test", memory.factory()) as manager:
        gc.collect()
        gc.disable()
        try:
            fail(manager)
            assert alive[0]() is None
        finally:
            gc.enable()


def test_a_custom_provider_runs_in_the_context_of_the_caller():
    request = contextvars.ContextVar("request", default="none")
    seen, values = [], {}

    @asynccontextmanager
    async def factory():
        seen.append(request.get())
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        yield DictSession(values)

    with SessionManager("test", factory) as manager:
        request.set("r1")
        session_id = manager.allocate_session(custom_metadata={"a": 1})
        request.set("r2")
        assert manager.validate_session(session_id)
        with pytest.raises(NotSupportedError):
            manager.list_sessions()
    assert seen == ["r1", "r2"]


def test_a_damaged_record_raises_an_error():
    values = {}

    @asynccontextmanager
    async def factory():
        yield DictSession(values)

    with SessionManager("test", factory) as manager:
        session_id = manager.allocate_session()
        values.update(dict.fromkeys(values, "damaged"))
        with pytest.raises(CorruptRecordError):
            manager.get_session_info(session_id)


async def test_a_call_within_an_event_loop_is_refused(server):
    manager = SessionManager("test", redis.factory(server.url))
    for call in (lambda: manager.validate_session("s1"), manager.close, lambda: list(manager.iter_sessions())):
        with pytest.raises(RuntimeError, match=r"chuk_sessions\.SessionManager with await"):
            call()
    await asyncio.to_thread(manager.validate_session, "s1")
    await asyncio.to_thread(manager.close)


def test_a_call_within_the_background_loop_is_refused():
    with SessionManager("test", memory.factory()) as manager:
        session_id = manager.allocate_session(custom_metadata={"n": 1})
        with pytest.raises(RuntimeError, match="must not call a synchronous manager"):
            manager.transform_session_metadata(session_id, "n", lambda _: manager.count_sessions())
        assert manager.validate_session(session_id)


def test_a_closed_manager_refuses_calls():
    with SessionManager("test", memory.factory()) as manager:
        session_id = manager.allocate_session()
        iterator = manager.iter_sessions()
    manager.close()
    for call in (lambda: manager.validate_session(session_id), lambda: next(iterator), manager.ping):
        with pytest.raises(ManagerClosedError):
            call()


def test_managers_share_the_connection_until_the_last_one_is_closed(server):
    factory = redis.factory(server.url, client_name="sync-shared")
    first, second = SessionManager("a", factory), SessionManager("b", factory)
    first.allocate_session()
    second.allocate_session()
    assert factory.backend.stats().connections == 1
    first.close()
    assert second.count_sessions() == 1
    second.close()
    assert factory.backend.stats().connections == 0


def test_the_environment_selects_the_provider(server, monkeypatch):
    monkeypatch.setenv("SESSION_PROVIDER", "redis")
    monkeypatch.setenv("SESSION_REDIS_URL", server.url)
    with SessionManager("env") as manager:
        manager.allocate_session()
        assert manager.get_cache_stats()["provider"] == "redis"
