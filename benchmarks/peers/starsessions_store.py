"""starsessions: its Redis store, for what it can do. A session is a JSON text under one key."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from itertools import count, cycle

import redis.asyncio as redis
from starsessions.stores.redis import RedisStore

from benchmarks.peers.worker import Calls, Peer, main

SHORT = {"role": "admin", "department": "engineering", "plan": "pro", "logins": 3}
TTL = 86_400
CONNECTIONS = 2000
PATIENCE = 60
BATCH = 100


class Starsessions(Peer):
    """Its `write` is an allocate, its `remove` a delete; it has no atomic change of part of a session."""

    package = "starsessions"
    operations = ("allocate", "read", "delete")

    async def start(self) -> None:
        """Connect, and make the pool."""
        pool = redis.ConnectionPool.from_url(
            self.options["url"], max_connections=CONNECTIONS, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE
        )
        self._client = redis.Redis(connection_pool=pool)
        self._store = RedisStore(connection=self._client)
        self._data = json.dumps(SHORT).encode()
        self._ids = [secrets.token_hex(16) for _ in range(self.options["sessions"])]
        for first in range(0, len(self._ids), BATCH):
            await asyncio.gather(*(self._write(session_id) for session_id in self._ids[first : first + BATCH]))
        self._stock: list[str] = []

    async def stop(self) -> None:
        """Close."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """To delete: as many sessions as can be made in that time."""
        self._stock = []
        end = time.perf_counter() + seconds
        while operation == "delete" and time.perf_counter() < end:
            fresh = [secrets.token_hex(16) for _ in range(BATCH)]
            await asyncio.gather(*(self._write(session_id) for session_id in fresh))
            self._stock += fresh

    async def _write(self, session_id: str) -> None:
        await self._store.write(session_id, self._data, TTL, TTL)

    async def _read(self, session_id: str) -> None:
        json.loads(await self._store.read(session_id, TTL))

    def allocate(self) -> Calls:
        """New sessions."""
        return (self._write(secrets.token_hex(16)) for _ in count())

    def read(self) -> Calls:
        """Whole sessions, decoded."""
        return map(self._read, cycle(self._ids))

    def delete(self) -> Calls:
        """What `prepare` has made."""
        return map(self._store.remove, self._stock)


if __name__ == "__main__":
    main(Starsessions)
