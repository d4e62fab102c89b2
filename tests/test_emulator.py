"""What the emulator does by itself: it sweeps, and its locks do not outlive a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from chuk_sessions import SessionManager, operations
from chuk_sessions.backends.memory import ManualClock, backend
from chuk_sessions.providers import memory


async def test_it_sweeps_all_that_has_ended_when_it_is_used_again():
    clock = ManualClock()
    factory = memory.factory(clock)
    manager = SessionManager("test", factory, default_ttl_hours=1, retention_seconds=0)
    for _ in range(operations.SWEEP_LIMIT + 1):
        await manager.allocate_session(user_id="alice")
    clock.advance(hours=2)
    assert not await manager.validate_session("somebody-elses")
    assert factory.backend.snapshot() == {}


async def use(factory, seen):
    async with factory() as store:
        await store.setex("k", 60, "v")
        seen.append(await store.get("k"))
    seen.append(await SessionManager("test", factory).validate_session("s1"))


FORK = """
import os
from chuk_sessions.providers import memory
from tests.test_emulator import asyncio, use
factory, seen = memory.factory(), []
with factory.backend._lock, factory.backend.strings._lock:
    child = os.fork()
    if child == 0:
        asyncio.run(use(factory, seen))
        os._exit(7 if seen == ["v", False] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_wait_for_locks_that_were_held():
    subprocess.run([sys.executable, "-W", "error", "-c", FORK], check=True, timeout=30)


def test_what_a_forked_child_does_first_is_to_take_new_locks():
    factory = memory.factory(ManualClock())
    seen: list[object] = []
    with factory.backend._lock, factory.backend.strings._lock:
        backend._after_fork()
        thread = threading.Thread(target=lambda: asyncio.run(use(factory, seen)), daemon=True)
        thread.start()
        thread.join(5)
    assert seen == ["v", False]
