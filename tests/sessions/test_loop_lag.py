"""No call on many sessions blocks the event loop: a concurrent task measures how long the loop is busy between two of
the task's steps.

It measures the CPU time of the thread, which other processes do not lengthen. The long form (CHUK_TEST_LONG=1) has more
sessions.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.core import ids, keys
from tests.harness.crowd import USER, Crowd, EmulatedCrowd, ServerCrowd
from tests.redis.tools import how_many

MAX_LAG = 0.020
"""The longest time (s) that a call may block the event loop."""

SESSIONS = how_many("SESSIONS", 100_000, 1_000_000)
SANDBOXES = how_many("SANDBOXES", 12_800, 128_000)
OF_ONE_USER = how_many("OF_ONE_USER", 2_000, 10_000)


class Lag:
    """The longest time (s) that the event loop was busy between two steps of the measuring task."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.measured = asyncio.Event()

    async def measure(self) -> None:
        while True:
            started = time.thread_time()
            await asyncio.sleep(0.0005)
            self.longest = max(self.longest, time.thread_time() - started)
            self.measured.set()


@asynccontextmanager
async def lag() -> AsyncIterator[Lag]:
    """Measure the lag inside the context."""
    found = Lag()
    task = asyncio.create_task(found.measure())
    await asyncio.sleep(0)
    yield found
    # Include the last step of the measured call.
    found.measured.clear()
    await found.measured.wait()
    task.cancel()


@pytest.fixture(params=["emulator", "server"])
async def crowd(request: pytest.FixtureRequest) -> AsyncIterator[Crowd]:
    crowd = EmulatedCrowd() if request.param == "emulator" else ServerCrowd(request.getfixturevalue("server"))
    # Pauses of the garbage collector grow with all objects of the process, including those of other tests.
    gc.disable()
    yield crowd
    gc.enable()
    crowd.close()


@pytest.fixture
async def manager(crowd: Crowd) -> AsyncIterator[SessionManager]:
    async with crowd.manager() as manager:
        await manager.validate_session("s1")
        yield manager


@pytest.mark.parametrize("bucket", [None, 7], ids=["all buckets", "one bucket"])
async def test_listing_some_of_many_sessions(crowd: Crowd, manager: SessionManager, bucket: int | None):
    if bucket is None:
        crowd.spread(crowd.size(SESSIONS))
    else:
        crowd.index_sessions(keys.index("test", bucket), crowd.size(SESSIONS))
    async with lag() as found:
        listed = await manager.list_sessions()
    assert found.longest < MAX_LAG
    assert len(set(listed)) == 10_000


async def test_listing_all_of_many_sessions(crowd: Crowd, manager: SessionManager):
    number = crowd.spread(crowd.size(SESSIONS))
    async with lag() as found:
        listed = await manager.list_sessions(limit=10**7)
        counted = await manager.count_sessions()
    assert found.longest < MAX_LAG
    assert len(set(listed)) == counted == number


async def test_iterating_over_many_sessions(crowd: Crowd, manager: SessionManager):
    number = crowd.spread(crowd.size(SESSIONS))
    async with lag() as found:
        seen = [session_id async for session_id in manager.iter_sessions()]
    assert found.longest < MAX_LAG
    assert len(seen) == len(set(seen)) == number


async def test_listing_counting_and_revoking_the_sessions_of_one_user(crowd: Crowd, manager: SessionManager):
    crowd.make_sessions(keys.index("test", ids.home_bucket("test", USER)), OF_ONE_USER)
    async with lag() as found:
        assert len(await manager.list_user_sessions(USER)) == OF_ONE_USER
        assert len([session async for session in manager.iter_user_sessions(USER)]) == OF_ONE_USER
        assert await manager.count_sessions(USER) == OF_ONE_USER
        assert await manager.revoke_user_sessions(USER) == OF_ONE_USER
    assert found.longest < MAX_LAG


async def test_sessions_of_one_user_that_are_in_all_buckets(crowd: Crowd, manager: SessionManager):
    share = OF_ONE_USER // ids.BUCKETS
    for bucket in range(ids.BUCKETS):
        crowd.make_sessions(keys.index("test", bucket), share)
    async with lag() as found:
        assert len(await manager.list_user_sessions(USER)) == share * ids.BUCKETS
        assert await manager.count_sessions(USER) == share * ids.BUCKETS
        assert await manager.revoke_user_sessions(USER) == share * ids.BUCKETS
    assert found.longest < MAX_LAG


async def test_sweeping_many_sandboxes(crowd: Crowd, manager: SessionManager):
    share = crowd.size(SANDBOXES) // ids.BUCKETS
    for bucket in range(ids.BUCKETS):
        crowd.end_sandboxes(bucket, share)
    async with lag() as found:
        assert await manager.cleanup_expired_sessions(all_sandboxes=True) == share * ids.BUCKETS
    assert found.longest < MAX_LAG


async def test_sweeping_many_sessions_of_one_sandbox(crowd: Crowd, manager: SessionManager):
    number = crowd.spread(crowd.size(SESSIONS), ended=True)
    async with lag() as found:
        assert await manager.cleanup_expired_sessions() == number
    assert found.longest < MAX_LAG
