"""Threads: many of them share one connection, get their own replies, and may close managers at any time."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chuk_sessions import ManagerClosedError, SessionUnavailableError
from chuk_sessions.providers import memory, redis
from chuk_sessions.sync import SessionManager, background, primitives
from tests.conftest import bundled
from tests.harness import children
from tests.harness.servers import running
from tests.redis.tools import connections_named

THREADS = 16
CALLS = 200


def in_threads(function, count=THREADS):
    """Run a function in threads that start at the same time, and return its results."""
    barrier = threading.Barrier(count)

    def work(number):
        barrier.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_threads_get_their_own_replies_over_one_connection(server):
    factory = redis.factory(server.url, client_name="sync-threads")
    with SessionManager("test", factory) as manager:

        def work(number):
            session_id = manager.allocate_session(user_id=f"user{number}", custom_metadata={"owner": number, "n": 0})
            for count in range(1, CALLS + 1):
                assert manager.increment_session_counter(session_id, "n").value == count
                assert manager.get_session_metadata(session_id).custom_metadata == {"owner": number, "n": count}
            with pytest.raises(ValueError, match="additional_hours"):
                manager.extend_session_ttl(session_id, -number - 1)
            return len(manager.list_user_sessions(f"user{number}"))

        assert in_threads(work) == [1] * THREADS
        assert len(connections_named(server, "sync-threads")) == 1
        assert not background.current.calls


def test_calls_of_threads_count_once(server):
    with SessionManager("test", redis.factory(server.url)) as manager:
        session_id = manager.allocate_session()
        in_threads(lambda _: [manager.increment_session_counter(session_id, "n") for _ in range(50)])
        in_threads(lambda _: manager.transform_session_metadata(session_id, "cart", lambda cart: [*cart, 1], []))
        assert manager.get_session_metadata(session_id).custom_metadata == {"n": 50 * THREADS, "cart": [1] * THREADS}


def test_closing_waits_for_the_calls_of_other_threads(server):
    manager = SessionManager("test", redis.factory(server.url))
    session_id = manager.allocate_session()
    busy, alive = threading.Event(), []

    def work(number):
        if number == 0:
            assert busy.wait(30)
            manager.close()
            return not background.current.calls
        try:
            while True:
                alive.append(manager.validate_session(session_id))
                if len(alive) > 100:
                    busy.set()
        except ManagerClosedError:
            return True

    assert all(in_threads(work, 4))
    assert all(alive)


def test_managers_can_be_created_and_closed_at_the_same_time(server):
    factory = redis.factory(server.url)

    def work(number):
        for _ in range(10):
            with SessionManager(f"sandbox{number}", factory) as manager:
                session_id = manager.allocate_session()
                assert manager.validate_session(session_id)
                assert list(manager.iter_sessions()) == manager.list_sessions()
                manager.delete_session(session_id)

    in_threads(work, 4)


def eventually(call):
    """Repeat a call until the store is available, and return its result."""
    give_up = time.monotonic() + 20
    while True:
        try:
            return call()
        except SessionUnavailableError:
            assert time.monotonic() < give_up
            time.sleep(0.01)


FIRST_CALLS = """
import threading, sys
from chuk_sessions.providers import memory
from chuk_sessions.sync import SessionManager
import chuk_sessions.sync.background as background

manager, barrier = SessionManager("test", memory.factory()), threading.Barrier(16)
def work():
    barrier.wait()
    assert manager.validate_session(manager.allocate_session())
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print([thread.name for thread in threading.enumerate()])
"""


def test_the_first_calls_start_one_thread():
    done = children.python(FIRST_CALLS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['MainThread', 'chuk-sessions']"


OTHER_SYSTEM = f"""
import os
del os.eventfd
{FIRST_CALLS}
from chuk_sessions.sync.primitives import new_wait_lock
print(type(new_wait_lock()).__name__, list(manager.iter_sessions()) != [])
manager.close()
"""


def test_systems_without_eventfd_use_locks():
    done = children.python(OTHER_SYSTEM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "lock True"
    assert not done.stderr


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this system has no eventfd")
def test_without_file_descriptors_threads_wait_with_locks():
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with SessionManager("test", memory.factory()) as manager:
        manager.allocate_session()
        background.current.free_locks.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            manager.allocate_session()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not isinstance(background.current.free_locks.pop(), primitives.EventLock)


NO_FILES = """
import resource
from chuk_sessions import SessionUnavailableError
from chuk_sessions.providers import memory
from chuk_sessions.sync import SessionManager

manager = SessionManager("test", memory.factory())
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
try:
    manager.allocate_session()
except SessionUnavailableError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
print(manager.validate_session(manager.allocate_session()))
"""


def test_a_background_loop_that_cannot_start_is_an_error_until_it_can():
    done = children.python(NO_FILES)
    assert done.stdout.splitlines() == [
        "the background event loop failed: OSError: [Errno 24] Too many open files",
        "True",
    ]


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this system has no eventfd")
def test_threads_leave_few_file_descriptors():
    def count(_=None):
        return len(list(Path("/proc/self/fd").iterdir()))

    with SessionManager("test", memory.factory()) as manager:
        in_threads(lambda _: manager.allocate_session())
        before = count()
        for _ in range(5):
            in_threads(lambda _: manager.count_sessions())
        assert count() <= before + THREADS
        background.current.free_locks.clear()
        assert count() < before


def test_an_outage_raises_the_engines_errors_in_every_thread():
    with running(bundled()) as server:
        manager = SessionManager("test", redis.factory(server.url, call_timeout=1))
        session_id = manager.allocate_session()
        server.kill()

        def work(_):
            with pytest.raises(SessionUnavailableError):
                manager.validate_session(session_id)
            return True

        assert all(in_threads(work))
        server.restart()
        assert not eventually(lambda: manager.validate_session(session_id))
        manager.close()
