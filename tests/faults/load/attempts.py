"""One call at a time: what its end says about what was applied, and how long it took."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Coroutine, Sequence
from enum import Enum
from typing import Any

from chuk_sessions import Health
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core.operation import Call, Reply, RetryCalls
from chuk_sessions.exceptions import OutcomeUnknownError, SessionUnavailableError, StoreFullError

from .ledger import Ledger

SLACK = 0.1
"""How far behind its deadline a call may end, in seconds."""

_STALL = 0.03


class Applied(Enum):
    """What the end of a call says."""

    YES = "acknowledged"
    NO = "refused before anything was applied"
    PERHAPS = "nobody knows"


class _CancelledOnTheWay(Exception):  # noqa: N818  (no error: that is what was asked for)
    pass


class Attempts:
    """Makes calls and keeps count of errors. With `cancelling`, that share of calls is cancelled on the way."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.cancelling = 0.0
        self.cancelled = 0

    async def make(self, call: Coroutine[Any, Any, Any], *, repeats: bool) -> tuple[Applied, Any]:
        """What was applied, and the answer. `repeats`: the library repeats it, so that an error leaves open whether an
        earlier attempt was applied.
        """
        try:
            return Applied.YES, await self._perhaps_cancelled(call)
        except StoreFullError:
            return self._count("full", Applied.NO)
        except OutcomeUnknownError:
            return self._count("unknown", Applied.PERHAPS)
        except SessionUnavailableError:
            return self._count("unavailable", Applied.PERHAPS if repeats else Applied.NO)
        except _CancelledOnTheWay:
            self.cancelled += 1
            return Applied.PERHAPS, None
        except Exception as error:
            self._ledger.odd.append(f"{type(error).__name__}: {error}")
            return self._count("other", Applied.PERHAPS)

    def _count(self, kind: str, applied: Applied) -> tuple[Applied, None]:
        self._ledger.errors[kind] += 1
        return applied, None

    async def _perhaps_cancelled(self, call: Coroutine[Any, Any, Any]) -> Any:
        if random.random() >= self.cancelling:
            return await call
        task = asyncio.ensure_future(call)
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
        await asyncio.sleep(random.choice((0.0, 0.0005, 0.002)))
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            raise _CancelledOnTheWay from None


class Timed:
    """A backend that notes how long its calls took, and which took longer than `limit` seconds."""

    name = "redis"

    def __init__(self, backend: RedisBackend, limit: float) -> None:
        self.backend = backend
        self._limit = limit
        self.slow: list[tuple[float, float]] = []
        self.took: list[float] = []

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Run one operation."""
        return await self._timed(self.backend.run(call, retry_calls))

    async def ping(self) -> Health:
        """Ask the store how it is."""
        return await self.backend.ping()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.backend.aclose()

    async def _timed(self, call: Awaitable[Reply]) -> Reply:
        begun = time.monotonic()
        try:
            return await call
        finally:
            ended = time.monotonic()
            self.took.append(ended - begun)
            if ended - begun > self._limit:
                self.slow.append((begun, ended))

    def late(self, stalls: Sequence[tuple[float, float]]) -> int:
        """How many took too long, not counting the time in which the event loop itself stood still."""
        return sum(end - begun - _shared(begun, end, stalls) > self._limit for begun, end in self.slow)


async def watch(stalls: list[tuple[float, float]]) -> None:
    """Note when the running event loop stands still: a load that blocks it, or a machine that has no time for it."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        if now - last > _STALL:
            stalls.append((last, now))
        last = now


def _shared(begun: float, ended: float, stalls: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, min(ended, last) - max(begun, first)) for first, last in stalls)
