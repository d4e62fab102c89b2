"""The emulator sweeps without a caller, yields to other tasks, and works after a fork."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.memory import ManualClock, SystemClock, backend
from chuk_sessions.core import index_operations
from chuk_sessions.providers import memory


async def test_it_sweeps_all_expired_sessions_at_the_next_call():
    clock = ManualClock()
    factory = memory.factory(clock)
    manager = SessionManager("test", factory, default_ttl_hours=1, retention_seconds=0)
    for _ in range(index_operations.SWEEP_LIMIT + 1):
        await manager.allocate_session(user_id="alice")
    clock.advance(hours=2)
    assert not await manager.validate_session("unknown")
    assert factory.backend.snapshot() == {}


async def poll_manager(factory):
    manager = SessionManager("test", factory)
    while not await manager.validate_session("s1"):
        pass


async def poll_for_a_change(factory):
    async with factory() as store:
        await store.setex("k", 60, "old")
        while await store.get("k") == "old":
            pass


async def poll_for_a_value(factory):
    async with factory() as store:
        while await store.get("absent") is None:
            pass


async def poll_for_a_code(factory):
    async with factory() as store:
        while await store.getdel("absent") is None:
            pass


async def poll_for_a_deletion(factory):
    async with factory() as store:
        while not await store.delete("absent"):
            pass


async def write(factory):
    async with factory() as store:
        while True:
            await store.setex("k", 60, "v")


POLLS = [poll_manager, poll_for_a_change, poll_for_a_value, poll_for_a_code, poll_for_a_deletion]


class StuckError(Exception):
    """The event loop did not run other tasks in time."""


@contextmanager
def time_limit(seconds):
    """Raise StuckError inside the block after some seconds, even if the event loop is stuck."""

    def interrupt(*_):
        raise StuckError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no interval timer")


@needs_timer
@pytest.mark.parametrize(
    ("clock", "poll"),
    [*((clock, poll) for clock in (SystemClock, ManualClock) for poll in POLLS), (SystemClock, write)],
)
async def test_a_task_that_polls_it_lets_other_tasks_run(clock, poll):
    factory = memory.factory(clock())
    with time_limit(10), pytest.raises(TimeoutError):
        await asyncio.wait_for(poll(factory), 0.05)


@needs_timer
async def test_several_tasks_that_poll_it_all_progress():
    factory, polls = memory.factory(ManualClock()), Counter()

    async def poll(name):
        manager = SessionManager("test", factory)
        while len(polls) < 4 or min(polls.values()) < 500:
            await manager.validate_session("s1")
            polls[name] += 1

    with time_limit(30):
        await asyncio.gather(*(poll(name) for name in range(4)))
    assert set(polls) == {0, 1, 2, 3}


async def use(factory, results):
    async with factory() as store:
        await store.setex("k", 60, "v")
        results.append(await store.get("k"))
    results.append(await SessionManager("test", factory).validate_session("s1"))


FORK = """
import os
from chuk_sessions.providers import memory
from tests.unit.test_emulator import asyncio, use
factory, results = memory.factory(), []
with factory.backend._lock, factory.backend.strings._lock:
    child = os.fork()
    if child == 0:
        asyncio.run(use(factory, results))
        os._exit(7 if results == ["v", False] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_wait_for_locks_that_were_held():
    subprocess.run([sys.executable, "-W", "error", "-c", FORK], check=True, timeout=30)


def test_a_forked_child_replaces_the_locks_first():
    factory = memory.factory(ManualClock())
    results: list[object] = []
    with factory.backend._lock, factory.backend.strings._lock:
        backend._after_fork()
        thread = threading.Thread(target=lambda: asyncio.run(use(factory, results)), daemon=True)
        thread.start()
        thread.join(5)
    assert results == ["v", False]


async def test_every_write_is_reported_while_there_is_a_listener_on_the_system_clock():
    factory, heard = memory.factory(SystemClock()), []
    manager = SessionManager("test", factory)
    session_id = await manager.allocate_session()
    remove = factory.backend.write_hook.add(lambda records, call: heard.append(call.operation.name))
    for _ in range(100):
        assert await manager.validate_session(session_id)
        assert await manager.get_session_metadata(session_id)
    remove()
    assert await manager.delete_session(session_id)
    assert heard == ["validate"] * 100
