"""Sessions under load, with a record of what was acknowledged, what failed and how long it took."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import ids, keys
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession

_PACE = 0.03
_SWITCH = 0.0005
"""How long the load may hold the interpreter when a thread that looks after the servers wants it."""


@asynccontextmanager
async def manager_at(url: str, **settings: Any) -> AsyncIterator[SessionManager]:
    """A manager with a backend of its own."""
    backend = RedisBackend(url, **settings)
    async with SessionManager("test", Factory(backend, lambda: RedisSession(backend, 3600))) as manager:
        yield manager


def retries_of(manager: SessionManager) -> int:
    """How many calls were tried again so far."""
    backend = manager._backend
    assert isinstance(backend, RedisBackend)
    return backend.stats().retries


def slot_of_session(session_id: str) -> int:
    """Where a session lies."""
    return slot_of(keys.session_keys("test", session_id).record)


@dataclass
class Load:
    """Each session has a task that counts it up; others make, validate, rotate and delete sessions all the time.

    Attributes:
        safe: increments have idempotency keys, so that a lost reply is no reason for an error. Records remember those
            for a while and grow, so this is for short loads.
        counted: acknowledged increments of each session.
        errors: what was raised, by session.
        slowest: seconds of the longest call of each session.
        done: when the last call of each session was acknowledged.
        lives: sessions that were made and ended under load.
        ending: no more calls are begun.

    """

    manager: SessionManager
    session_ids: list[str]
    safe: bool
    counted: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[str, Exception]] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    lives: int = 0
    ending: bool = False

    async def on_connection_lost(self, url: str) -> dict[str, int]:
        """Sessions whose counter is not what was acknowledged, with the difference. For when the load has ended."""
        async with manager_at(url) as manager:
            found = await asyncio.gather(*(_counter(manager, session_id) for session_id in self.session_ids))
        wrong = {one: count - self.counted[one] for one, count in zip(self.session_ids, found, strict=True)}
        return {session_id: difference for session_id, difference in wrong.items() if difference}

    def worst(self, session_ids: Iterable[str]) -> float:
        """Seconds of the longest call of those sessions."""
        return max(self.slowest[session_id] for session_id in session_ids)

    async def count_up(self, session_id: str) -> None:
        """One session's task."""
        number = 0
        while not self.ending:
            number += 1
            begun = time.monotonic()
            try:
                key = str(number) if self.safe else None
                await self.manager.increment_session_counter(session_id, "n", idempotency_key=key)
                self.counted[session_id] += 1
                self.done[session_id] = time.monotonic()
            except Exception as error:
                self.errors.append((session_id, error))
            took = time.monotonic() - begun
            self.slowest[session_id] = max(took, self.slowest.get(session_id, 0.0))
            await asyncio.sleep(_PACE)

    async def live(self) -> None:
        """Sessions that come and go: operations with several keys, and ids in all buckets."""
        while not self.ending:
            try:
                await self._live_once()
                self.lives += 1
            except Exception as error:
                self.errors.append(("a short life", error))
            await asyncio.sleep(_PACE)

    async def _live_once(self) -> None:
        first = await self.manager.allocate_session(custom_metadata={"role": "admin"})
        assert await self.manager.validate_session(first), "made, and not there"
        second = await self.manager.rotate_session(first, grace_seconds=0)
        assert second is not None, "there, and not rotated"
        assert not await self.manager.validate_session(first), "rotated, and still there"
        assert await self.manager.delete_session(second), "there, and not deleted"
        assert not await self.manager.validate_session(second), "deleted, and still there"


async def _counter(manager: SessionManager, session_id: str) -> int:
    found = await manager.get_session_metadata(session_id)
    return 0 if found is None else int(found.custom_metadata.get("n", 0))


@asynccontextmanager
async def load_on(manager: SessionManager, *, safe: bool = False, lives: int = 4) -> AsyncIterator[Load]:
    """Load on one session in each bucket, for as long as the context is open; at its end calls under way end."""
    session_ids = [ids.new_id(None, bucket) for bucket in range(ids.BUCKETS)]
    for session_id in session_ids:
        await manager.allocate_session(session_id)
    load, interval = Load(manager, session_ids, safe), sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    tasks = [asyncio.create_task(load.count_up(session_id)) for session_id in session_ids]
    tasks += [asyncio.create_task(load.live()) for _ in range(lives)]
    try:
        yield load
    finally:
        load.ending = True
        await asyncio.gather(*tasks)
        sys.setswitchinterval(interval)
