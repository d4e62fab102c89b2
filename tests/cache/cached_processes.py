"""Processes whose clients have a cache, and defects of it that their histories must reveal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.cache.cached_reads import CachedReads
from chuk_sessions.cache.entry import Entry
from chuk_sessions.cache.view import View
from chuk_sessions.core.record import Record
from chuk_sessions.exceptions import ProviderError
from tests.redis.tools import manager_on

SESSIONS = ("counter-0", "counter-1")
MAX_STALENESS = 0.25


class Access(NamedTuple):
    """A call on a session whose counter only grows, so that each value is a state.

    Attributes:
        process: the process that made it.
        session: the session.
        writes: whether it incremented the counter.
        began, ended: times of the host's monotonic clock, in ns.
        value: the counter that it returned.

    """

    process: int
    session: str
    writes: bool
    began: int
    ended: int
    value: int


class Task(NamedTuple):
    """A task of a process.

    Attributes:
        url: of the server.
        defect: the name of the defect of the cache, or empty.
        process: the number of the process.
        seed: of its choices.
        seconds: for which it runs.
        writes: the share of increments among its calls.

    """

    url: str
    defect: str
    process: int
    seed: int
    seconds: float
    writes: float


class CachedRecorder:
    """A client with a cache that reads and increments counters, and records what it saw."""

    def __init__(self, _url: str, _retries: int) -> None:
        self._managers: dict[tuple[str, str], SessionManager] = {}

    async def record(self, tasks: Sequence[Task]) -> list[Access]:
        """Run tasks concurrently, and return their accesses."""
        found = await asyncio.gather(*(self._work(self._manager(task), task) for task in tasks))
        return [access for accesses in found for access in accesses]

    async def close(self) -> None:
        """Close all managers."""
        for manager in self._managers.values():
            await manager.aclose()

    def _manager(self, task: Task) -> SessionManager:
        key = task.url, task.defect
        if key not in self._managers:
            cache = LocalCache(max_staleness_seconds=MAX_STALENESS)
            manager = manager_on(RedisBackend(task.url), touch_interval_seconds=60, local_cache=cache)
            reads = manager._cache
            assert isinstance(reads, CachedReads)
            if task.defect:
                DEFECTS[task.defect](reads)
            self._managers[key] = manager
        return self._managers[key]

    async def _work(self, manager: SessionManager, task: Task) -> list[Access]:
        chosen, end, accesses = random.Random(task.seed), time.monotonic() + task.seconds, list[Access]()
        while time.monotonic() < end:
            session, writes = chosen.choice(SESSIONS), chosen.random() < task.writes
            began = time.monotonic_ns()
            try:
                value = await (
                    _increment(manager, session)
                    if writes
                    else _read(manager, session, chosen.random(), task.writes > 0)
                )
            except ProviderError:
                continue
            if value is not None:
                accesses.append(Access(task.process, session, writes, began, time.monotonic_ns(), value))
            if chosen.random() < 0.2:
                await asyncio.sleep(chosen.random() * 0.002)
        return accesses


async def _increment(manager: SessionManager, session: str) -> int | None:
    done = await manager.increment_session_counter(session, "n")
    return None if done is None else done.value


async def _read(manager: SessionManager, session: str, kind: float, may_be_fresh: bool) -> int | None:
    found: Any
    if kind < 0.2:
        found = manager.cached_session(session)
    elif kind < 0.4:
        info = await manager.get_session_info(session)
        return None if info is None else int(info["custom_metadata"]["n"])
    elif kind < 0.5:
        found = await manager.get_session_metadata(session, fresh=may_be_fresh and kind < 0.42)
    else:
        found = await manager.load_session(session)
    return None if found is None else found.custom_metadata["n"]


class StoringView(View):
    """A view that keeps each reply, whether or not its entry was killed in the meantime."""

    def store(self, entry: Entry, record: Record) -> None:
        self._by_record[entry.record] = self.entries[entry.session_id] = entry
        entry.open(record, self._limits.max_age, self._interval_ms)


class DeafView(View):
    """A view that ignores reports of changes."""

    def on_change(self, record: str) -> None:
        pass


DEFECTS: dict[str, Callable[[CachedReads], object]] = {
    "stores without the check": lambda reads: setattr(reads._current_view(), "__class__", StoringView),
    "ignores reports": lambda reads: setattr(reads._current_view(), "__class__", DeafView),
    "ignores own writes": lambda reads: reads._store._stop_listening(),
}
