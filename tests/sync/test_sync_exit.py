"""The end of a program: it never hangs because of the background thread, and prints nothing that worries its reader."""

from __future__ import annotations

import pytest

from tests.conftest import bundled
from tests.harness import children
from tests.harness.servers import running
from tests.redis.tools import wait_until_closed

COMMON = """
import atexit, os, signal, sys, threading, time
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager, background

manager = SessionManager("test", redis.factory(sys.argv[1], call_timeout=20, client_name="exit"))
session_id = manager.allocate_session()

def started():
    while not background.current.calls:
        time.sleep(0.001)
"""


def run(code, server, *arguments):
    """Run a program, and return what it printed. It must not print anything to standard error."""
    done = children.python(f"{COMMON}{code}", server.url, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.split()


@pytest.fixture
def hanging():
    """Return a server that the test may suspend."""
    with running(bundled()) as server:
        yield server


@pytest.mark.parametrize("code", ["manager.close()", "", "with manager: pass"])
def test_a_program_exits_and_closes_its_connection(server, code):
    assert run(code, server) == []
    wait_until_closed(server, "exit")


IN_A_CALL = """
os.kill(int(sys.argv[2]), signal.SIGSTOP)
threading.Thread(target=manager.validate_session, args=(session_id,), daemon=True).start()
started()
begun_at = time.monotonic()
atexit._run_exitfuncs()
print(time.monotonic() - begun_at < 10)
"""


def test_a_program_does_not_wait_for_calls_of_daemon_threads(hanging):
    """The server does not reply, and the call would only fail after 20 seconds."""
    assert run(IN_A_CALL, hanging, str(hanging.process.pid)) == ["True"]


THREAD = """
def work():
    started.wait()
    print(manager.increment_session_counter(session_id, "n").value)
    time.sleep(0.2)
    print(manager.increment_session_counter(session_id, "n").value)
started = threading.Event()
threading.Thread(target=work).start()
started.set()
"""


def test_other_threads_complete_their_calls(server):
    assert run(THREAD, server) == ["1", "2"]


HANDLERS = """
from chuk_sessions import ManagerClosedError

def call(name):
    try:
        print(name, manager.validate_session(session_id))
    except ManagerClosedError as error:
        print(name, type(error).__name__)
    manager.close()
    print("closed")

atexit.register(call, "before")
"""
LATE = """
import atexit
def late():
    call("after")
atexit.register(late)
"""


def test_exit_handlers_can_make_calls_until_the_loop_has_ended(server):
    done = children.python(f"{LATE}{COMMON}{HANDLERS}", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["before", "True", "closed", "after", "ManagerClosedError", "closed"]


UNUSED = """
import sys, threading
import chuk_sessions
assert "chuk_sessions.sync" not in sys.modules
from chuk_sessions.sync import SessionManager
manager = SessionManager("test")
print(threading.active_count())
"""


def test_a_program_without_calls_has_no_thread():
    done = children.python(UNUSED)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_an_iterator_that_is_left_open_does_no_harm(server):
    assert run("sessions = manager.iter_sessions(); print(len(next(sessions)) > 0)", server) == ["True"]
