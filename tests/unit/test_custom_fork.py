"""Locks of custom providers and fork: a child does not wait for what only its parent can release."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.locks import KeyLocks
from tests.harness.worlds import DictSession

DONE = 7


class SlowSession(DictSession):
    """A provider's session that tells when it is asked for a record, and answers when it may."""

    def __init__(self, values, asked, may_answer):
        super().__init__(values)
        self.asked, self.may_answer = asked, may_answer

    async def get(self, key):
        self.asked.set()
        await asyncio.to_thread(self.may_answer.wait, 30)
        return await super().get(key)


def manager_of(session):
    @asynccontextmanager
    async def factory():
        yield session

    return SessionManager("test", factory)


async def count_up(session):
    counted = await manager_of(session).increment_session_counter("s1", "n")
    return counted.value


def hold(values):
    """Hold the lock of a record in a thread of its own."""
    asked, may_answer = threading.Event(), threading.Event()
    asyncio.run(manager_of(DictSession(values)).allocate_session("s1"))
    thread = threading.Thread(target=asyncio.run, args=(count_up(SlowSession(values, asked, may_answer)),))
    thread.start()
    assert asked.wait(10)
    return thread, may_answer


def count_in_child(values):
    """The exit code of a child: DONE when it could use the session within some seconds."""
    try:
        return DONE if asyncio.run(asyncio.wait_for(count_up(DictSession(values)), 5)) == 1 else 1
    except TimeoutError:
        return 2


FORK = """
import os
from chuk_sessions.backends import custom
from tests.unit.test_custom_fork import DONE, count_in_child, hold

values = {}
thread, may_answer = hold(values)
with custom._LOCKS._mutex:
    child = os.fork()
    if child == 0:
        os._exit(count_in_child(values))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DONE
may_answer.set()
thread.join(10)
assert not thread.is_alive() and not custom._LOCKS._waiting
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_wait_for_locks_that_its_parent_holds():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


async def test_what_was_held_before_a_fork_is_released_without_harm():
    """In the child, the task that forked leaves the lock that it held in the parent."""
    locks = KeyLocks()
    async with locks.hold("k"):
        locks.abandon_after_fork()
        async with locks.hold("k"):
            assert locks._waiting
    assert not locks._waiting
