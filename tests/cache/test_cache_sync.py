"""The synchronous manager with a cache: hits need no hop to the background thread."""

from __future__ import annotations

import threading
import time

import pytest

from chuk_sessions import LocalCache, ManagerClosedError
from chuk_sessions.providers import memory, redis
from chuk_sessions.sync import SessionManager, runner
from tests.cache.tools import delete_elsewhere, reads_of


@pytest.fixture
def manager(server):
    cache = LocalCache(max_staleness_seconds=5)
    with SessionManager("test", redis.factory(server.url), touch_interval_seconds=60, local_cache=cache) as manager:
        yield manager


def new_session(manager, **options):
    session_id = manager.allocate_session(**options)
    give_up = time.monotonic() + 10
    while manager.cached_session(session_id) is None:
        assert manager.get_session_metadata(session_id)
        assert time.monotonic() < give_up
    return session_id


def test_hits_need_no_background_thread(server, manager, monkeypatch):
    session_id = new_session(manager, custom_metadata={"a": [1]})
    before = reads_of(server)

    def refuse(*_):
        raise AssertionError("a hit went to the background thread")

    monkeypatch.setattr(runner, "_run", refuse)
    assert manager.validate_session(session_id)
    assert manager.load_session(session_id) == manager.get_session_metadata(session_id)
    assert manager.get_session_info(session_id)["custom_metadata"] == {"a": [1]}
    assert manager.cached_session(session_id).custom_metadata == {"a": (1,)}
    monkeypatch.undo()
    assert reads_of(server) == before


def test_threads_that_only_hit_see_changes(server, manager):
    session_id = new_session(manager)
    seen = []

    def work():
        give_up = time.monotonic() + 10
        while manager.validate_session(session_id):
            assert time.monotonic() < give_up
        seen.append(True)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    delete_elsewhere(server, session_id)
    for thread in threads:
        thread.join(20)
    assert seen == [True] * 3


def test_own_writes_are_seen_at_once(manager):
    session_id = new_session(manager, custom_metadata={"n": 0})
    for number in range(1, 50):
        assert manager.update_session_metadata(session_id, {"n": number})
        assert manager.get_session_metadata(session_id).custom_metadata == {"n": number}
    assert manager.delete_session(session_id)
    assert not manager.validate_session(session_id)


def test_a_closed_manager_answers_nothing(server):
    manager = SessionManager("test", redis.factory(server.url), touch_interval_seconds=60, local_cache=LocalCache())
    session_id = new_session(manager)
    manager.close()
    with pytest.raises(ManagerClosedError):
        manager.validate_session(session_id)
    with pytest.raises(ManagerClosedError):
        manager.cached_session(session_id)


async def test_a_thread_with_an_event_loop_is_refused_whatever_is_cached(manager):
    with pytest.raises(RuntimeError, match="event loop"):
        manager.validate_session("any")


def test_fresh_and_the_emulator():
    with SessionManager("test", memory.factory(), local_cache=LocalCache()) as manager:
        session_id = manager.allocate_session()
        assert manager.validate_session(session_id, fresh=True)
        assert manager.cached_session(session_id).session_id == session_id
        assert manager.delete_session(session_id)
        assert manager.cached_session(session_id) is None
