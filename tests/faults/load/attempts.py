"""Calls of the load: what each outcome says about whether the store applied the call, and how long the call took."""

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
from chuk_sessions.exceptions import (
    OutcomeUnknownError,
    RevocationIncompleteError,
    SessionUnavailableError,
    StoreFullError,
)

from .ledger import Ledger

SLACK = 0.1
"""Seconds after its deadline by which a call must have returned."""

_STALL = 0.03


class Applied(Enum):
    """Whether the store applied a call, as far as its outcome says."""

    YES = "acknowledged"
    NO = "refused before anything was applied"
    UNKNOWN = "applied or not"


class _CallCanceled(Exception):  # noqa: N818  (not an error: the test canceled the call)
    pass


class Attempts:
    """A runner of calls that counts errors.

    Attributes:
        canceling: the share of calls that are canceled at a random moment, from 0 to 1.
        canceled: how many calls were.

    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.canceling = 0.0
        self.canceled = 0

    async def run(self, call: Coroutine[Any, Any, Any], *, retried: bool) -> tuple[Applied, Any]:
        """Return whether the call was applied, and its result. `retried` says that the library retries it, so that
        after an error an earlier attempt may have been applied.
        """
        try:
            return Applied.YES, await self._perhaps_canceled(call)
        except StoreFullError:
            return self._count("full", Applied.NO)
        except OutcomeUnknownError:
            return self._count("unknown", Applied.UNKNOWN)
        except RevocationIncompleteError as error:
            is_unknown = isinstance(error.__cause__, OutcomeUnknownError)
            return self._count("unknown" if is_unknown else "unavailable", Applied.UNKNOWN)
        except SessionUnavailableError:
            return self._count("unavailable", Applied.UNKNOWN if retried else Applied.NO)
        except _CallCanceled:
            self.canceled += 1
            return Applied.UNKNOWN, None
        except Exception as error:
            self._ledger.unexpected.append(f"{type(error).__name__}: {error}")
            return self._count("other", Applied.UNKNOWN)

    def _count(self, kind: str, applied: Applied) -> tuple[Applied, None]:
        self._ledger.errors[kind] += 1
        return applied, None

    async def _perhaps_canceled(self, call: Coroutine[Any, Any, Any]) -> Any:
        if random.random() >= self.canceling:
            return await call
        task = asyncio.ensure_future(call)
        for _ in range(random.randrange(6)):
            await asyncio.sleep(0)
        await asyncio.sleep(random.choice((0.0, 0.0005, 0.002)))
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            raise _CallCanceled from None


class TimedBackend:
    """A backend that records how long calls took, and which took longer than `limit` seconds."""

    name = "redis"

    def __init__(self, backend: RedisBackend, limit: float) -> None:
        self.backend = backend
        self.write_hook = backend.write_hook
        self._limit = limit
        self.slow: list[tuple[float, float]] = []
        self.durations: list[float] = []

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Run one operation."""
        return await self._timed(self.backend.run(call, retry_calls))

    async def ping(self) -> Health:
        """Return the health of the store."""
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
            self.durations.append(ended - begun)
            if ended - begun > self._limit:
                self.slow.append((begun, ended))

    def late(self, stalls: Sequence[tuple[float, float]]) -> int:
        """Return how many calls took too long, without the time in which the event loop itself was blocked."""
        return sum(end - begun - _overlap(begun, end, stalls) > self._limit for begun, end in self.slow)


async def watch_event_loop(stalls: list[tuple[float, float]]) -> None:
    """Record when the running event loop is blocked, by the load or because the machine is busy."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        if now - last > _STALL:
            stalls.append((last, now))
        last = now


def _overlap(begun: float, ended: float, stalls: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, min(ended, last) - max(begun, first)) for first, last in stalls)
