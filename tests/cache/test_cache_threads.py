"""Threads, event loops, and forks that use one cache at the same time: no view may be lost, and no lock kept."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions import LocalCache, ManagerClosedError, SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.cache.loop_cache import LoopCache
from chuk_sessions.cache.store import Store
from tests.cache.tools import cached_at, change_elsewhere, delete_elsewhere, new_session, view_of
from tests.harness import children


def in_threads(functions: Sequence[Callable[[], object]]) -> None:
    """Run functions at the same time, each in a thread of its own, and raise the first error."""
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result(60)


async def fill_own_view(manager: SessionManager, session_id: str) -> None:
    """Read a session until the running event loop has it in its own view."""
    async with asyncio.timeout(10):
        while view_of(manager).get(session_id) is None:
            await manager.get_session_metadata(session_id)
            await asyncio.sleep(0.001)


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_event_loops_that_start_together_are_all_known(server, often):
    """A loop that the store does not know would not hear of the writes in other loops."""
    closed = [asyncio.new_event_loop() for _ in range(100)]
    for loop in closed:
        loop.close()
    for _ in range(10):
        store, lost = Store(RedisBackend(server.url), LocalCache()), []
        store._loops = dict.fromkeys(closed)
        barrier, done = threading.Barrier(8), threading.Barrier(8)

        async def use(store=store, barrier=barrier, done=done, lost=lost):
            barrier.wait()
            mine = store.current()
            done.wait()
            if mine not in store.loop_caches():
                lost.append(mine)
            done.wait()

        in_threads([lambda use=use: asyncio.run(use())] * 8)
        store.close()
        assert not lost


async def test_views_that_are_added_while_others_are_removed_are_kept(server, often):
    cache = LoopCache(RedisBackend(server.url), LocalCache(), lambda _: ())
    ended = threading.Event()

    def close_others():
        while not ended.is_set():
            cache.remove(object())

    thread = threading.Thread(target=close_others)
    thread.start()
    try:
        views = [object() for _ in range(300)]
        for number, view in enumerate(views):
            cache.add(f"tenant-{number}", view)
        assert [view for number, view in enumerate(views) if view not in cache.views_of(f"tenant-{number}")] == []
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("method", ["validate_session", "load_session", "get_session_info", "get_session_metadata"])
async def test_a_session_that_one_loop_found_dead_is_dead_in_all(server, method):
    """This loop is blocked meanwhile, so it has not read the report."""
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager)
        view = view_of(manager)

        async def use_elsewhere():
            await fill_own_view(manager, session_id)
            # The entry of the other loop goes first, as if its report had come first.
            view_of(manager).kill(view.entries[session_id].record)
            delete_elsewhere(server, session_id)
            return await getattr(manager, method)(session_id)

        found = []
        in_threads([lambda: found.append(asyncio.run(use_elsewhere()))])
        assert found in ([None], [False])
        assert view.get(session_id) is None
        assert manager.cached_session(session_id) is None


async def test_a_repeated_read_drops_older_entries(server):
    """A read that failed on the tracked connection is repeated on another one, and may be newer than any entry."""
    async with cached_at(server.url) as manager:
        session_id = await new_session(manager, custom_metadata={"n": 0})
        view = view_of(manager)

        async def use_elsewhere():
            await fill_own_view(manager, session_id)
            view_of(manager).kill(view.entries[session_id].record)
            with server.client() as client:
                client.script_flush()
            change_elsewhere(server, session_id, 1)
            return (await manager.get_session_metadata(session_id)).custom_metadata["n"]

        found = []
        in_threads([lambda: found.append(asyncio.run(use_elsewhere()))])
        assert found == [1]
        left = manager.cached_session(session_id)
        assert left is None or left.custom_metadata["n"] == 1


async def test_a_method_that_was_kept_from_a_closed_manager_opens_nothing(server):
    cache = LocalCache()
    async with cached_at(server.url, cache) as manager:
        session_id = await new_session(manager)
        reads = manager._cache
    for fresh in (False, True):
        for name in ("validate_session", "load_session", "get_session_info", "get_session_metadata"):
            with pytest.raises(ManagerClosedError):
                await reads.methods[name](session_id, fresh=fresh)
    with pytest.raises(ManagerClosedError):
        reads._current_view()
    assert cache._stores == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_has_no_locks_and_entries_of_its_parent(server):
    done = children.python(FORK_WITH_LOCKS, server.url)
    assert (done.returncode, done.stdout.split()) == (0, ["parent", "0"]), done.stdout + done.stderr


FORK_WITH_LOCKS = """
import faulthandler, os, sys, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
faulthandler.dump_traceback_later(20, exit=True)
from chuk_sessions import LocalCache
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager

cache = LocalCache(max_staleness_seconds=5)
factory = redis.factory(sys.argv[1])
manager = SessionManager("test", factory, touch_interval_seconds=60, local_cache=cache)
session_id = manager.allocate_session()
while manager.cached_session(session_id) is None:
    manager.get_session_metadata(session_id)
view, held, end = manager._manager._cache.view, threading.Event(), threading.Event()

def hold():
    with view._lock, cache._lock:
        held.set()
        end.wait()

thread = threading.Thread(target=hold, daemon=True)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    code = 1
    try:
        assert manager.get_cache_stats()["cached_sessions"] == 0
        assert manager.cached_session(session_id) is None
        assert SessionManager("other", factory, local_cache=cache).validate_session("x") is False
        manager.close()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
print("parent", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
end.set()
"""
