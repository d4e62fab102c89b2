"""gevent's monkey-patching, for real: a call blocks its greenlet only, and the loop runs in a thread of the system."""

from __future__ import annotations

import importlib.util

import pytest

from tests.conftest import bundled, missing
from tests.harness import children
from tests.harness.servers import running

PATCH = """
from gevent import monkey
monkey.patch_all()
"""
COMMON = """
import os, signal, sys
import gevent
from chuk_sessions.providers import memory, redis
from chuk_sessions.sync import SessionManager, background

manager = SessionManager("test", redis.factory(sys.argv[1], call_timeout=20))
session_id = manager.allocate_session(user_id="ann")
"""


@pytest.fixture(autouse=True)
def _gevent_is_installed():
    if not importlib.util.find_spec("gevent"):
        missing("the package gevent is not installed")


def run(code, url, *arguments, before=PATCH):
    done = children.python(f"{before}{COMMON}{code}", url, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


CONCURRENT = """
def work(number):
    for count in range(1, 51):
        assert manager.increment_session_counter(session_id, f"n{number}").value == count
    return len(manager.list_user_sessions("ann")) + len(list(manager.iter_sessions()))

greenlets = [gevent.spawn(work, number) for number in range(20)]
gevent.joinall(greenlets)
print({greenlet.get() for greenlet in greenlets})
manager.close()
"""


def test_greenlets_make_calls_at_the_same_time(server):
    assert run(CONCURRENT, server.url) == ["{2}"]


def test_names_of_hosts_are_resolved(server):
    assert run("print(manager.validate_session(session_id))", server.url.replace("127.0.0.1", "localhost")) == ["True"]


@pytest.fixture
def hanging():
    """Return a server that the test may suspend."""
    with running(bundled()) as server:
        yield server


BLOCKED = """
pid = int(sys.argv[2])
os.kill(pid, signal.SIGSTOP)
waiting = gevent.spawn(manager.increment_session_counter, session_id, "n")
try:
    with gevent.Timeout(0.2):
        manager.validate_session(session_id)
except gevent.Timeout:
    print("timeout")
killed = gevent.spawn(manager.validate_session, session_id)
gevent.sleep(0.05)
killed.kill()
print(waiting.ready(), killed.ready())
os.kill(pid, signal.SIGCONT)
print(waiting.get().value, manager.validate_session(session_id))
"""


def test_a_call_blocks_no_other_greenlet_and_can_be_interrupted(hanging):
    printed = run(BLOCKED, hanging.url, str(hanging.process.pid))
    assert printed == ["timeout", "False", "True", "1", "True"]


THREADS = """
import threading
pool = gevent.get_hub().threadpool
print([result.get() for result in [pool.spawn(manager.validate_session, session_id) for _ in range(20)]].count(True))
thread = threading.Thread(target=manager.validate_session, args=(session_id,))
thread.start()
thread.join()
with SessionManager("other", memory.factory()) as emulated:
    print(emulated.validate_session(emulated.allocate_session()))
"""


def test_threads_of_the_system_and_the_emulator_work_too(server):
    assert run(THREADS, server.url) == ["20", "True"]


def test_modules_may_be_imported_before_they_are_patched(server):
    """This is not what gevent recommends, but what gunicorn does with an application that it loads before the fork."""
    assert run(CONCURRENT, server.url, before=f"import chuk_sessions.sync\n{PATCH}") == ["{2}"]


def test_a_program_that_does_not_patch_uses_plain_threads(server):
    code = "print(type(background.current.free_locks[0]).__name__ != 'HubLock', manager.validate_session(session_id))"
    assert run(code, server.url, before="import gevent.monkey\n") == ["True", "True"]
