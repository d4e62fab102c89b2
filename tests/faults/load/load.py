"""The load: tasks of two managers on shared sessions, and short-lived sessions, all recorded in a ledger."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.harness.threads import prompt_threads
from tests.redis.tools import until

from .attempts import SLACK, Attempts, TimedBackend, watch_event_loop
from .churn import Churn
from .counts import Counts
from .ledger import SIDES, Ledger
from .shared_sessions import SharedSession, Worker

SHARED_SESSIONS = 8
CHURN_TASKS = 4
PATIENCE = 30.0


@dataclass
class Load:
    """A load on one store.

    Attributes:
        managers: one for each side, with connections of its own.
        timed: the managers' backends.
        ledger: what callers were told.
        attempts: runs the calls.
        shared: the long-lived sessions.
        stalls: when the event loop was blocked: (start, end).
        others: counts of other hosts.
        reconnects: how many connections were opened to replace lost ones, once the load has stopped.
        stopping: no more calls are started.
        resumed: is set unless the load pauses.

    """

    managers: list[SessionManager]
    timed: list[TimedBackend]
    ledger: Ledger
    attempts: Attempts
    shared: list[SharedSession]
    stalls: list[tuple[float, float]] = field(default_factory=list)
    others: list[Counts] = field(default_factory=list)
    reconnects: int = 0
    stopping: bool = False
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    async def recovered(self, since: float) -> float:
        """Wait until for each session a call that began after that moment was acknowledged. Return the seconds."""
        await until(lambda: all(shared.served > since for shared in self.shared), PATIENCE)
        return max(shared.first_after(since) for shared in self.shared) - since

    async def until_written(self, number: int) -> None:
        """Wait until that many writes have been acknowledged."""
        await until(lambda: self.ledger.writes >= number, PATIENCE)

    async def pause(self, seconds: float) -> None:
        """Send nothing until `resumed` is set again. Return when no call has been in flight for that many seconds."""
        self.resumed.clear()
        await until(lambda: not any(timed.backend.stats().in_flight for timed in self.timed), PATIENCE)
        await asyncio.sleep(seconds)

    async def proceeds(self) -> bool:
        """Wait while the load pauses. Return False once it stops."""
        await self.resumed.wait()
        return not self.stopping

    @property
    def calls(self) -> int:
        """The number of calls sent to the store."""
        return sum(len(timed.durations) for timed in self.timed)

    @property
    def retries(self) -> int:
        """The number of retries."""
        return sum(timed.backend.stats().retries for timed in self.timed)

    @property
    def longest(self) -> float:
        """The duration of the longest call in seconds."""
        return max(max(timed.durations) for timed in self.timed)

    def slower_than(self, seconds: float) -> int:
        """Return how many calls took that long or longer."""
        return sum(duration >= seconds for timed in self.timed for duration in timed.durations)

    @property
    def late(self) -> int:
        """The number of calls that returned later than their deadline and the slack."""
        return sum(timed.late(self.stalls) for timed in self.timed)


def manager_on(backend: RedisBackend, timed: TimedBackend, **options: Any) -> SessionManager:
    """Return a manager whose calls are timed."""
    return SessionManager("faults", Factory(timed, lambda: RedisSession(backend, 3600)), **options)


@asynccontextmanager
async def load_on(
    url: str,
    *,
    timeout: float,  # noqa: ASYNC109
    first: int = 1,
    manager: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> AsyncIterator[Load]:
    """Put load on a store while the context is open. On exit, calls in flight finish.

    `timeout` is each call's, in seconds. Sessions are numbered from `first`. `manager` has the options of the managers.
    """
    backends = [RedisBackend(url, call_timeout=timeout, **settings) for _ in range(SIDES)]
    timed = [TimedBackend(backend, timeout + SLACK) for backend in backends]
    managers = [manager_on(*pair, **manager) for pair in zip(backends, timed, strict=True)]
    ledger = Ledger()
    attempts, numbers = Attempts(ledger), itertools.count(first)
    shared = [SharedSession(ledger, attempts, numbers) for _ in range(SHARED_SESSIONS)]
    load = Load(managers, timed, ledger, attempts, shared)
    try:
        with prompt_threads():
            async with _running(load, numbers):
                yield load
    finally:
        load.reconnects = sum(backend.stats().reconnects for backend in backends)
        for one in managers:
            await one.aclose()


@asynccontextmanager
async def _running(load: Load, numbers: itertools.count[int]) -> AsyncIterator[None]:
    for shared in load.shared:
        await shared.allocate(load.managers[0])
    watching = asyncio.create_task(watch_event_loop(load.stalls))
    tasks: list[Worker | Churn] = [
        Worker(manager, shared, side) for side, manager in enumerate(load.managers) for shared in load.shared
    ]
    tasks += [Churn(load.managers[n % SIDES], load.ledger, load.attempts, numbers) for n in range(CHURN_TASKS)]
    load.resumed.set()
    running = [asyncio.create_task(task.run(load.proceeds)) for task in tasks]
    try:
        await load.recovered(time.monotonic())
        yield
    finally:
        load.stopping = True
        load.resumed.set()
        await asyncio.gather(*running)
        watching.cancel()
