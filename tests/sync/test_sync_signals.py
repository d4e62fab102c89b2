"""Signals and other interruptions: they end a call at once, and neither the call nor a later one hangs."""

from __future__ import annotations

import os

import pytest

from chuk_sessions.sync.inbox import Inbox
from tests.conftest import bundled
from tests.harness import children
from tests.harness.servers import running

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")

COMMON = """
import os, signal, sys, threading, time
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager, background

signal.signal(signal.SIGINT, signal.default_int_handler)
manager = SessionManager("test", redis.factory(sys.argv[1], call_timeout=30))
session_id = manager.allocate_session()

def until(condition):
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)
"""

INTERRUPTED = f"""{COMMON}
os.kill(int(sys.argv[2]), signal.SIGSTOP)
print("calling", flush=True)
try:
    manager.increment_session_counter(session_id, "n")
except KeyboardInterrupt:
    print("interrupted", flush=True)
until(lambda: not background.current.calls)
print("canceled", flush=True)
os.kill(int(sys.argv[2]), signal.SIGCONT)
print("alive:", manager.validate_session(session_id), flush=True)
manager.close()
"""


@pytest.fixture
def hanging():
    """Return a server that the test may suspend."""
    with running(bundled()) as server:
        yield server


def test_ctrl_c_ends_a_call_at_once_and_cancels_it(hanging):
    """The server does not reply meanwhile, so that only the interruption can end the call."""
    with children.running_python(INTERRUPTED, hanging.url, str(hanging.process.pid)) as child:
        child.wait_for("calling")
        child.interrupt()
        assert child.wait() == 0, child.printed()
        assert child.printed().split() == ["calling", "interrupted", "canceled", "alive:", "True"]


UNHANDLED = f"""{COMMON}
os.kill(int(sys.argv[2]), signal.SIGSTOP)
print("calling", flush=True)
manager.validate_session(session_id)
"""


def test_ctrl_c_ends_a_program_that_is_in_a_call(hanging):
    with children.running_python(UNHANDLED, hanging.url, str(hanging.process.pid)) as child:
        child.wait_for("calling")
        child.interrupt()
        assert child.wait() != 0
        assert child.printed().splitlines()[-1] == "KeyboardInterrupt"


HANDLED = f"""{COMMON}
counted = []
def handler(number, frame):
    counted.append(manager.increment_session_counter(session_id, "handled").value)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
n = 0
while len(counted) < 100:
    n += 1
    assert manager.increment_session_counter(session_id, "n").value == n
signal.setitimer(signal.ITIMER_REAL, 0)
assert sorted(counted) == list(range(1, len(counted) + 1)), counted
print("all calls got their own replies")
"""


def test_a_signal_handler_can_make_calls_during_a_call(server):
    done = children.python(HANDLED, server.url)
    assert done.stdout.strip() == "all calls got their own replies", done.stderr


RAISING = f"""{COMMON}
class Alarm(Exception):
    pass
def handler(number, frame):
    raise Alarm
signal.signal(signal.SIGALRM, handler)
alarms = calls = 0
while alarms < 200:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + alarms % 10 * 0.0001)
        while True:
            assert manager.validate_session(session_id)
            calls += 1
    except Alarm:
        alarms += 1
until(lambda: not background.current.calls)
manager.close()
print("no call hung")
"""


def test_interruptions_at_any_moment_leave_a_working_manager(server):
    done = children.python(RAISING, server.url)
    assert done.stdout.strip() == "no call hung", done.stderr


RECURSION = f"""{COMMON}
sys.setrecursionlimit(300)
raised = returned = 0
def descend(depth):
    global raised, returned
    if depth:
        return descend(depth - 1)
    try:
        returned += manager.validate_session(session_id)
    except RecursionError:
        raised += 1
for depth in range(100, 300):
    try:
        descend(depth)
    except RecursionError:
        pass
assert raised and returned, (raised, returned)
until(lambda: not background.current.calls)
assert manager.validate_session(session_id)
manager.close()
print("no call hung")
"""


def test_calls_near_the_recursion_limit_do_not_hang(server):
    done = children.python(RECURSION, server.url)
    assert done.stdout.strip() == "no call hung", done.stderr


def test_an_inbox_that_cannot_be_woken_does_not_run_the_function():
    inbox, run = Inbox(fail), []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            inbox.put(lambda: run.append(1))
    inbox.wake = lambda: None
    inbox.put(lambda: run.append(2))
    inbox.run_all()
    assert run == [2]


def fail():
    raise KeyboardInterrupt
