"""Histories of concurrent processes with a cache: reads lag by at most the bound, never go backward within a process,
and always see the own writes of the process.

There are 2 histories for each disturbance, 100 with CHUK_TEST_LONG=1, or the number in CHUK_TEST_CACHED_HISTORIES.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import pytest

from chuk_sessions.backends.redis import RedisBackend
from tests.cache.cached_processes import DEFECTS, MAX_STALENESS, SESSIONS, Access, CachedRecorder, Task
from tests.harness.farms import Proxy
from tests.harness.servers import Server
from tests.linearizability.processes import Processes
from tests.linearizability.strategies import PROCESSES
from tests.redis.tools import how_many, kill_clients, manager_on

HISTORIES = how_many("CACHED_HISTORIES", 2, 100)
SECONDS = 0.4
TASKS = 4
WRITES = (0.2, 0.01, 0.0)
"""The share of increments in each process. The last one learns of changes only by reports."""


class UnevenProxy(Proxy):
    """A proxy that delays each part of a reply for a random time, so that connections overtake each other."""

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), 48):
            await asyncio.sleep(0.002 * random.random())
            writer.write(data[start : start + 48])
            await writer.drain()


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes("", 0, CachedRecorder) as processes:
        yield processes


@pytest.fixture
def uneven(server: Server) -> Iterator[str]:
    with UnevenProxy(server.port) as proxy:
        yield f"redis://127.0.0.1:{proxy.port}"


async def create(url: str) -> None:
    async with manager_on(RedisBackend(url)) as manager:
        for session in SESSIONS:
            await manager.allocate_session(session, custom_metadata={"n": 0, "text": "x" * 200})


def record(
    processes: Processes, url: str, seed: int, *, defect: str = "", killed: Server | None = None
) -> list[Access]:
    """Record a history. With `killed`, close all connections to that server again and again."""
    processes.begin([
        [Task(url, defect, process, 99 * seed + 9 * process + task, SECONDS, WRITES[process]) for task in range(TASKS)]
        for process in range(PROCESSES)
    ])  # fmt: skip
    while killed is not None and processes.are_busy():
        kill_clients(killed)
        time.sleep(0.02)
    return cast(list[Access], processes.history())


def broken(history: Iterable[Access]) -> list[str]:
    """Return the promises that a history breaks, with the accesses that show it."""
    found = []
    for session in SESSIONS:
        accesses = sorted((one for one in history if one.session == session), key=lambda one: one.began)
        for process in range(PROCESSES):
            own = [one for one in accesses if one.process == process]
            found += [f"backward: {one}" for one in _behind(own, own, 0)]
        writes = [one for one in accesses if one.writes]
        found += [f"stale: {one}" for one in _behind(accesses, writes, int(MAX_STALENESS * 1e9))]
    return found


def _behind(accesses: Sequence[Access], others: Sequence[Access], lag: int) -> list[Access]:
    """Return the accesses that see less than one of the others that ended more than `lag` ns before they began."""
    ended = sorted(others, key=lambda one: one.ended)
    newest, index, found = 0, 0, []
    for access in accesses:
        while index < len(ended) and ended[index].ended + lag < access.began:
            newest = max(newest, ended[index].value)
            index += 1
        if access.value < newest:
            found.append(access)
    return found


@pytest.mark.parametrize("disturbance", ["none", "uneven network", "lost connections"])
async def test_histories_keep_the_promises(processes, server, uneven, disturbance):
    await create(server.url)
    url, killed = uneven if disturbance == "uneven network" else server.url, disturbance == "lost connections"
    seen = 0
    for seed in range(HISTORIES):
        history = record(processes, url, seed, killed=server if killed else None)
        assert broken(history) == []
        seen += len(history)
    assert seen > 100


@pytest.mark.parametrize("defect", DEFECTS)
async def test_histories_reveal_a_cache_that(processes, server, uneven, defect):
    await create(server.url)
    found: list[str] = []
    for seed in range(20):
        found += broken(record(processes, uneven, seed, defect=defect))
        if found:
            break
    assert found


READ = Access(0, SESSIONS[0], False, 100, 110, 5)
WRONG = {
    "backward": [READ, READ._replace(began=120, ended=130, value=4)],
    "an own write is not seen": [READ._replace(writes=True), READ._replace(began=120, ended=130, value=4)],
    "stale": [READ._replace(writes=True), READ._replace(process=1, began=10**9, ended=10**9 + 1, value=4)],
}
RIGHT = {
    "at the same time": [READ, READ._replace(began=105, ended=130, value=4)],
    "another process lags": [READ._replace(writes=True), READ._replace(process=1, began=10**8, ended=10**9, value=4)],
    "another session": [READ, READ._replace(session=SESSIONS[1], began=120, ended=130, value=4)],
}


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_the_judge_rejects(history):
    assert broken(history)


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_the_judge_accepts(history):
    assert not broken(history)
