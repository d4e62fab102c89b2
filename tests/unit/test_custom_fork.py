"""Locks of custom providers and fork: a child does not wait for locks that only its parent can release."""

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
    """A provider's session that signals when a record is read, and returns it when the test allows."""

    def __init__(self, values, reading, may_return):
        super().__init__(values)
        self.reading, self.may_return = reading, may_return

    async def get(self, key):
        self.reading.set()
        await asyncio.to_thread(self.may_return.wait, 30)
        return await super().get(key)


def manager_of(session):
    @asynccontextmanager
    async def factory():
        yield session

    return SessionManager("test", factory)


async def increment(session):
    counted = await manager_of(session).increment_session_counter("s1", "n")
    return counted.value


def hold(values):
    """Hold the lock of a record in another thread."""
    reading, may_return = threading.Event(), threading.Event()
    asyncio.run(manager_of(DictSession(values)).allocate_session("s1"))
    thread = threading.Thread(target=asyncio.run, args=(increment(SlowSession(values, reading, may_return)),))
    thread.start()
    assert reading.wait(10)
    return thread, may_return


def count_in_child(values):
    """Return the exit code of a child: DONE if it could use the session within 5 s."""
    try:
        return DONE if asyncio.run(asyncio.wait_for(increment(DictSession(values)), 5)) == 1 else 1
    except TimeoutError:
        return 2


FORK = """
import os
from chuk_sessions.backends import custom
from tests.unit.test_custom_fork import DONE, count_in_child, hold

values = {}
thread, may_return = hold(values)
with custom._LOCKS._mutex:
    child = os.fork()
    if child == 0:
        os._exit(count_in_child(values))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DONE
may_return.set()
thread.join(10)
assert not thread.is_alive() and not custom._LOCKS._waiting
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_wait_for_locks_that_its_parent_holds():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


async def test_a_lock_held_before_a_fork_is_released_without_harm():
    """In the child, the forking task releases the lock that it held in the parent."""
    locks = KeyLocks()
    async with locks.hold("k"):
        locks.abandon_after_fork()
        async with locks.hold("k"):
            assert locks._waiting
    assert not locks._waiting
