"""Threads that run the event loop themselves during their calls, and what others notice of it: nothing."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions import OutcomeUnknownError
from chuk_sessions.backends.memory import MemoryBackend
from chuk_sessions.providers import redis
from chuk_sessions.providers.factory import Factory
from chuk_sessions.sync import SessionManager, background
from tests.conftest import bundled
from tests.harness import children
from tests.harness.servers import running
from tests.harness.worlds import Intercepted

pytestmark = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="only on Linux")

PATIENCE = 30


class Store:
    """A manager, and the threads that have run the steps of its calls. Calls for `held` wait for a release."""

    def __init__(self):
        self.threads = []
        self.held = None
        self.is_held = threading.Event()
        self.manager = SessionManager("test", Factory(Intercepted(MemoryBackend(), self._before), lambda: None))
        self.session_id = self.manager.allocate_session()

    async def _before(self, call):
        self.threads.append(threading.get_ident())
        if self.held == threading.get_ident():
            self.held, self._release = None, asyncio.get_running_loop().create_future()
            self.is_held.set()
            await self._release

    def lead(self):
        """Call until this thread runs the loop itself."""
        end = time.monotonic() + PATIENCE
        while self.threads[-1] != threading.get_ident():
            assert time.monotonic() < end
            self.call()

    def call(self):
        assert self.manager.validate_session(self.session_id)

    def hold(self):
        """Make a call that waits for `release`, in a thread that runs the loop."""
        self.lead()
        self.held = threading.get_ident()
        self.call()

    def release(self):
        background.current.loop.call_soon_threadsafe(self._release.set_result, None)


@pytest.fixture
def store():
    store = Store()
    yield store
    store.manager.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_a_thread_runs_the_loop_for_its_own_calls(store, pool):
    pool.submit(store.lead).result(PATIENCE)
    assert not background.current.calls
    store.call()
    assert store.threads[-1] not in (threading.get_ident(), *(thread.ident for thread in pool._threads))


def test_the_main_thread_does_not_run_the_loop(store, pool):
    """Signal handlers may raise exceptions there at any point."""
    for _ in range(20):
        pool.submit(store.call).result(PATIENCE)
        store.call()
        assert store.threads[-1] != threading.get_ident()


def test_calls_of_other_threads_proceed_while_a_thread_runs_the_loop(store, pool):
    held = pool.submit(store.hold)
    assert store.is_held.wait(PATIENCE)
    before = len(store.threads)
    store.call()
    pool.submit(store.call).result(PATIENCE)
    assert len(set(store.threads[before:])) == 1, "the thread that waits for its call runs the others' calls"
    assert not held.done()
    store.release()
    held.result(PATIENCE)
    store.call()


def test_the_background_thread_continues_calls_that_are_left(store, pool):
    first = pool.submit(store.hold)
    assert store.is_held.wait(PATIENCE)
    release_first, leader = store._release, store.threads[-1]
    store.is_held.clear()
    store.held = leader  # This thread runs the other thread's call, too.
    second = pool.submit(store.call)
    assert store.is_held.wait(PATIENCE)
    background.current.loop.call_soon_threadsafe(release_first.set_result, None)
    first.result(PATIENCE)
    assert not second.done()
    store.release()
    second.result(PATIENCE)


def test_what_the_loop_does_later_happens_without_calls(store, pool):
    pool.submit(store.lead).result(PATIENCE)
    loop, done = background.current.loop, threading.Event()
    loop.call_soon_threadsafe(loop.call_later, 0.05, done.set)
    assert done.wait(PATIENCE)


def test_a_thread_has_its_own_settings_after_a_call(store, pool):
    def work():
        store.lead()
        loop = background.current.loop
        assert asyncio._get_running_loop() is None
        assert loop._thread_id != threading.get_ident()
        assert asyncio.run(asyncio.sleep(0, "works")) == "works"

    pool.submit(work).result(PATIENCE)


def test_threads_alternate_between_a_manager_and_a_loop_of_their_own(server, pool):
    with SessionManager("test", redis.factory(server.url)) as manager:
        session_id = manager.allocate_session()

        def work(number):
            for _ in range(50):
                assert manager.increment_session_counter(session_id, "n")
                assert asyncio.run(asyncio.sleep(0, True))
                assert len(list(manager.iter_sessions())) == 1
            return True

        assert all(pool.map(work, range(4)))
        assert manager.get_session_metadata(session_id).custom_metadata == {"n": 200}


def test_a_loop_that_fails_in_a_calling_thread_is_replaced(store, pool):
    def fail():
        raise SystemExit

    def work():
        store.lead()
        store.held = threading.get_ident()
        with pytest.raises(SystemExit):
            store.call()

    working = pool.submit(work)
    assert store.is_held.wait(PATIENCE)
    failed = background.current
    store.is_held.clear()
    store.held = store.threads[-1]
    waiting = pool.submit(store.call)
    assert store.is_held.wait(PATIENCE)
    failed.loop.call_soon_threadsafe(fail)
    working.result(PATIENCE)
    with pytest.raises(OutcomeUnknownError):
        waiting.result(PATIENCE)
    assert background.current is not failed
    store.call()


EXIT = """
import os, sys, threading, time, warnings
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager, background

warnings.simplefilter("ignore", DeprecationWarning)  # since Python 3.12, for each fork of a process with threads
manager = SessionManager("test", redis.factory(sys.argv[1], call_timeout=30))
session_id = manager.allocate_session()
is_ready = threading.Event()

def work():
    while not background.current.selector.was_led:
        manager.validate_session(session_id)
    is_ready.set()
    while True:
        manager.validate_session(session_id)

threading.Thread(target=work, daemon=True).start()
assert is_ready.wait(30)
if os.fork() == 0:
    assert manager.validate_session(session_id)
    thread = threading.Thread(target=lambda: [manager.validate_session(session_id) for _ in range(50)])
    thread.start()
    thread.join()
    print("child", flush=True)
    sys.exit()
os.wait()
if "hanging" in sys.argv:
    os.kill(int(sys.argv[2]), 19)
    time.sleep(0.1)
print("parent", flush=True)
"""


@pytest.mark.parametrize("state", ["alive", "hanging"])
def test_the_interpreter_can_fork_and_exit_while_a_thread_runs_the_loop(state):
    with running(bundled()) as own, children.running_python(EXIT, own.url, str(own.process.pid), state) as child:
        assert child.wait() == 0, child.printed()
        assert child.printed().split() == ["child", "parent"]
