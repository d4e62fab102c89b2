"""Load on sessions, with a record of acknowledged writes, errors and durations."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chuk_sessions import SessionManager
from chuk_sessions.core import ids
from tests.harness.threads import prompt_threads
from tests.redis.tools import manager_at

_PACE = 0.03


@dataclass
class Load:
    """A load: each session has a task that increments its counter, and other tasks create and delete sessions.

    Attributes:
        keyed: increments have idempotency keys, so that a lost reply causes no error. Records keep the keys for a
            while and grow, so this is for short loads.
        counted: acknowledged increments of each session.
        errors: errors with their sessions.
        slowest: seconds of the longest call of each session.
        done: when the last call of each session was acknowledged.
        churned: sessions that were created and deleted under load.
        stopping: no more calls are started.

    """

    manager: SessionManager
    session_ids: list[str]
    keyed: bool
    counted: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[str, Exception]] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    churned: int = 0
    stopping: bool = False

    async def differences(self, url: str) -> dict[str, int]:
        """Return sessions whose counter differs from the acknowledged increments, with the difference.

        Call it once the load has stopped.
        """
        async with manager_at(url) as manager:
            found = await asyncio.gather(*(_counter(manager, session_id) for session_id in self.session_ids))
        wrong = {one: count - self.counted[one] for one, count in zip(self.session_ids, found, strict=True)}
        return {session_id: difference for session_id, difference in wrong.items() if difference}

    def worst(self, session_ids: Iterable[str]) -> float:
        """Return the duration of the longest call on those sessions in seconds."""
        return max(self.slowest[session_id] for session_id in session_ids)

    async def increment(self, session_id: str) -> None:
        """Increment one session's counter until the load stops."""
        number = 0
        while not self.stopping:
            number += 1
            begun = time.monotonic()
            try:
                key = str(number) if self.keyed else None
                await self.manager.increment_session_counter(session_id, "n", idempotency_key=key)
                self.counted[session_id] += 1
                self.done[session_id] = time.monotonic()
            except Exception as error:
                self.errors.append((session_id, error))
            took = time.monotonic() - begun
            self.slowest[session_id] = max(took, self.slowest.get(session_id, 0.0))
            await asyncio.sleep(_PACE)

    async def churn(self) -> None:
        """Create and delete sessions until the load stops: operations on several keys, with ids in all buckets."""
        while not self.stopping:
            try:
                await self._session_lifecycle()
                self.churned += 1
            except Exception as error:
                self.errors.append(("a short-lived session", error))
            await asyncio.sleep(_PACE)

    async def _session_lifecycle(self) -> None:
        first = await self.manager.allocate_session(custom_metadata={"role": "admin"})
        assert await self.manager.validate_session(first), "created, but not valid"
        second = await self.manager.rotate_session(first, grace_seconds=0)
        assert second is not None, "valid, but not rotated"
        assert not await self.manager.validate_session(first), "rotated, but still valid"
        assert await self.manager.delete_session(second), "valid, but not deleted"
        assert not await self.manager.validate_session(second), "deleted, but still valid"


async def _counter(manager: SessionManager, session_id: str) -> int:
    found = await manager.get_session_metadata(session_id)
    return 0 if found is None else int(found.custom_metadata.get("n", 0))


@asynccontextmanager
async def load_on(manager: SessionManager, *, keyed: bool = False, churn_tasks: int = 4) -> AsyncIterator[Load]:
    """Put load on one session in each bucket while the context is open. On exit, calls in flight finish."""
    session_ids = [ids.new_id(None, bucket) for bucket in range(ids.BUCKETS)]
    for session_id in session_ids:
        await manager.allocate_session(session_id)
    load = Load(manager, session_ids, keyed)
    tasks = [asyncio.create_task(load.increment(session_id)) for session_id in session_ids]
    tasks += [asyncio.create_task(load.churn()) for _ in range(churn_tasks)]
    with prompt_threads():
        try:
            yield load
        finally:
            load.stopping = True
            await asyncio.gather(*tasks)
