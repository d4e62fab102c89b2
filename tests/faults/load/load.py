"""The load: tasks of two managers on the same sessions, and sessions that come and go, all with a ledger."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.redis.tools import until

from .attempts import SLACK, Attempts, Timed, watch
from .churn import Lives
from .counts import Counts
from .ledger import SIDES, Ledger
from .shared_sessions import Seat, Worker

SEATS = 8
LIVES = 4
PATIENCE = 30.0
_SWITCH = 0.0005
"""How long the load may hold the interpreter when a thread that looks after the servers wants it."""


@dataclass
class Load:
    """A load on one store.

    Attributes:
        managers: one for each side, with connections of its own.
        ledger: the books.
        attempts: how calls are made.
        seats: the sessions that are there all the time.
        stalls: when the event loop stood still.
        others: what other hosts have counted.
        reconnects: how many connections were opened in the place of lost ones, as of the end.
        resumed: is set unless the load pauses.

    """

    managers: list[SessionManager]
    timed: list[Timed]
    ledger: Ledger
    attempts: Attempts
    seats: list[Seat]
    stalls: list[tuple[float, float]] = field(default_factory=list)
    others: list[Counts] = field(default_factory=list)
    reconnects: int = 0
    ending: bool = False
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    async def recovered(self, since: float) -> float:
        """Wait until a call for each session was acknowledged that began after that moment. Returns the seconds."""
        await until(lambda: all(seat.served > since for seat in self.seats), PATIENCE)
        return max(seat.first_after(since) for seat in self.seats) - since

    async def pause(self, seconds: float) -> None:
        """Send nothing until `resumed` is set again; return when no call has been under way for that many seconds."""
        self.resumed.clear()
        await until(lambda: not any(timed.backend.stats().in_flight for timed in self.timed), PATIENCE)
        await asyncio.sleep(seconds)

    async def proceeds(self) -> bool:
        """Wait until the load does not pause. Return whether it goes on."""
        await self.resumed.wait()
        return not self.ending

    @property
    def calls(self) -> int:
        """How many calls the store was sent."""
        return sum(len(timed.took) for timed in self.timed)

    @property
    def retries(self) -> int:
        """How many were tried again."""
        return sum(timed.backend.stats().retries for timed in self.timed)

    @property
    def longest(self) -> float:
        """Seconds of the longest call."""
        return max(max(timed.took) for timed in self.timed)

    def slower_than(self, seconds: float) -> int:
        """How many calls took that long, or longer."""
        return sum(took >= seconds for timed in self.timed for took in timed.took)

    @property
    def late(self) -> int:
        """How many calls went on behind their deadline, and the slack."""
        return sum(timed.late(self.stalls) for timed in self.timed)


def manager_on(backend: RedisBackend, timed: Timed) -> SessionManager:
    """A manager whose calls are timed."""
    return SessionManager("faults", Factory(timed, lambda: RedisSession(backend, 3600)))


@asynccontextmanager
async def load_on(url: str, *, timeout: float, first: int = 1, **settings: Any) -> AsyncIterator[Load]:  # noqa: ASYNC109
    """A load for as long as the context is open; at its end calls under way end. `timeout` is a call's; sessions are
    numbered from `first` on.
    """
    backends = [RedisBackend(url, call_timeout=timeout, **settings) for _ in range(SIDES)]
    timed = [Timed(backend, timeout + SLACK) for backend in backends]
    managers = [manager_on(*pair) for pair in zip(backends, timed, strict=True)]
    ledger = Ledger()
    attempts, numbers = Attempts(ledger), itertools.count(first)
    seats = [Seat(ledger, attempts, numbers) for _ in range(SEATS)]
    load = Load(managers, timed, ledger, attempts, seats)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        async with _running(load, numbers):
            yield load
    finally:
        sys.setswitchinterval(interval)
        load.reconnects = sum(backend.stats().reconnects for backend in backends)
        for manager in managers:
            await manager.aclose()


@asynccontextmanager
async def _running(load: Load, numbers: itertools.count[int]) -> AsyncIterator[None]:
    for seat in load.seats:
        await seat.take(load.managers[0])
    watching = asyncio.create_task(watch(load.stalls))
    workers = [Worker(manager, seat, side) for side, manager in enumerate(load.managers) for seat in load.seats]
    lives = [Lives(load.managers[place % SIDES], load.ledger, load.attempts, numbers) for place in range(LIVES)]
    load.resumed.set()
    tasks = [asyncio.create_task(worker.run(load.proceeds)) for worker in workers]
    tasks += [asyncio.create_task(life.run(load.proceeds)) for life in lives]
    try:
        await load.recovered(time.monotonic())
        yield
    finally:
        load.ending = True
        load.resumed.set()
        await asyncio.gather(*tasks)
        watching.cancel()
