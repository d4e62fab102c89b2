"""The peer cached_sessions: reads of SessionManager with and without its local cache, in batches.

A call of the cache takes less time than reading the clock twice, so each measured call is a batch of BATCH calls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from itertools import accumulate, cycle, islice
from typing import Any

from benchmarks.peers.worker import Calls, Peer, main
from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.providers import redis

BATCH = 50
METADATA = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
_CREATED_TOGETHER = 100
_VISITS = 100_000


class CachedSessions(Peer):
    """SessionManager on `sessions` sessions, which are visited with a Zipf distribution (0.99), with `cache` or not."""

    package = "chuk-sessions"
    operations: tuple[str, ...] = ("validate", "load", "info", "metadata", "cached_session")

    async def start(self) -> None:
        """Create the manager and the sessions, and fill the cache."""
        number = self.options["sessions"]
        cache = LocalCache(max_sessions=2 * number, max_age_seconds=3600) if self.options["cache"] else None
        self._manager = SessionManager(
            self.options["sandbox"], redis.factory(self.options["url"]), touch_interval_seconds=3600, local_cache=cache
        )
        if cache is None:
            self.operations = self.operations[:-1]
        ids: list[str] = []
        for first in range(0, number, _CREATED_TOGETHER):
            users = range(first, min(number, first + _CREATED_TOGETHER))
            ids += await asyncio.gather(*(self._create(f"user{user:06d}") for user in users))
        weights = list(accumulate(1 / (rank + 1) ** 0.99 for rank in range(number)))
        self._visits = cycle(random.Random(0).choices(ids, cum_weights=weights, k=_VISITS))
        for _ in range(3):
            for first in range(0, number, _CREATED_TOGETHER):
                some = ids[first : first + _CREATED_TOGETHER]
                await asyncio.gather(*map(self._manager.get_session_info, some))

    async def stop(self) -> None:
        """Close the manager."""
        await self._manager.aclose()

    def _create(self, user: str) -> Any:
        return self._manager.allocate_session(user_id=user, custom_metadata=METADATA)

    def validate(self) -> Calls:
        """Validate sessions within their touch interval."""
        return self._batches(self._manager.validate_session)

    def load(self) -> Calls:
        """Load sessions within their touch interval."""
        return self._batches(self._manager.load_session)

    def info(self) -> Calls:
        """Read sessions as dicts."""
        return self._batches(self._manager.get_session_info)

    def metadata(self) -> Calls:
        """Read sessions as objects."""
        return self._batches(self._manager.get_session_metadata)

    def cached_session(self) -> Calls:
        """Look sessions up without await."""
        find = self._manager.cached_session

        async def batch(ids: list[str]) -> None:
            for session_id in ids:
                find(session_id)
            await asyncio.sleep(0)

        return map(batch, self._id_batches())

    def _batches(self, method: Callable[[str], Awaitable[Any]]) -> Calls:
        async def batch(ids: list[str]) -> None:
            for session_id in ids:
                await method(session_id)

        return map(batch, self._id_batches())

    def _id_batches(self) -> Iterator[list[str]]:
        while True:
            yield list(islice(self._visits, BATCH))


if __name__ == "__main__":
    main(CachedSessions)
