"""Fork: children work with a thread and connections of their own, and leave those of the parent alone."""

from __future__ import annotations

import os

import pytest

from tests.harness import children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

COMMON = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork of a process with threads.
from chuk_sessions import ManagerClosedError
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager, background

manager = SessionManager("test", redis.factory(sys.argv[1]))
session_id = manager.allocate_session()

def in_child(function):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def count(times):
    for _ in range(times):
        assert manager.increment_session_counter(session_id, "n")

def counted():
    return manager.get_session_metadata(session_id).custom_metadata["n"]
"""


def run(code, server):
    done = children.python(f"{COMMON}{code}", server.url)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BUSY = """
stop = threading.Event()
def work():
    while not stop.is_set():
        assert manager.validate_session(session_id)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    in_child(lambda: count(5))
stop.set()
for thread in threads: thread.join()
count(1)
print(counted())
"""


def test_children_work_although_the_parents_threads_are_in_calls(server):
    assert run(BUSY, server) == ["101"]


LOCKED = """
from chuk_sessions.backends import sharing

log = manager.session_factory.backend._per_loop.all()[0].nodes()[0]._options.log
held, may_release = threading.Event(), threading.Event()
def hold():
    with sharing._managers_lock, log._lock:
        held.set()
        may_release.wait()
threading.Thread(target=hold).start()
held.wait()
def child():
    with SessionManager("other", redis.factory(sys.argv[1])) as other:
        assert other.validate_session(other.allocate_session())
    log.on_connection_lost("host", OSError())
in_child(child)
may_release.set()
print("done")
"""


def test_children_do_not_wait_for_locks_that_threads_of_the_parent_hold(server):
    assert run(LOCKED, server) == ["done"]


NESTED = """
def child():
    count(1)
    in_child(lambda: count(1))
    count(1)
    manager.close()
in_child(child)
count(1)
print(counted())
"""


def test_children_can_fork_again_and_close_their_managers(server):
    assert run(NESTED, server) == ["4"]


IN_HANDLER = """
def handler(number, frame):
    global child
    child = os.fork()
signal.signal(signal.SIGALRM, handler)
with redis_client() as client:
    client.execute_command("CLIENT", "PAUSE", "500", "ALL")
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    alive = manager.validate_session(session_id)
except ManagerClosedError as error:
    assert not child and "forked during this call" in str(error)
    os._exit(0 if manager.validate_session(session_id) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(alive)
"""


def test_a_fork_in_a_signal_handler_ends_the_call_in_the_child_only(server):
    client = "from redis import Redis\ndef redis_client(): return Redis.from_url(sys.argv[1])\n"
    assert run(client + IN_HANDLER, server) == ["True"]


ITERATOR = """
sessions = manager.iter_sessions()
next(sessions)
in_child(lambda: sessions.close())
print(len(list(sessions)))
"""


def test_a_child_can_drop_an_iterator_of_its_parent(server):
    assert run(ITERATOR, server) == ["0"]
