"""The peer starsessions: its Redis store, which keeps a session as a JSON text under one key."""

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
TIMEOUT = 60
"""Seconds to wait for a connection or a reply."""
BATCH = 100


class Starsessions(Peer):
    """starsessions: `write` counts as allocate, `remove` as delete. It cannot change part of a session atomically."""

    package = "starsessions"
    operations = ("allocate", "read", "delete")

    async def start(self) -> None:
        """Connect, and create the sessions."""
        pool = redis.ConnectionPool.from_url(
            self.options["url"], max_connections=CONNECTIONS, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT
        )
        self._client = redis.Redis(connection_pool=pool)
        self._store = RedisStore(connection=self._client)
        self._data = json.dumps(SHORT).encode()
        self._ids = [secrets.token_hex(16) for _ in range(self.options["sessions"])]
        for first in range(0, len(self._ids), BATCH):
            await asyncio.gather(*(self._write(session_id) for session_id in self._ids[first : first + BATCH]))
        self._created: list[str] = []

    async def stop(self) -> None:
        """Close the client and its pool."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """Create sessions to delete for that many seconds."""
        self._created = []
        end = time.perf_counter() + seconds
        while operation == "delete" and time.perf_counter() < end:
            session_ids = [secrets.token_hex(16) for _ in range(BATCH)]
            await asyncio.gather(*(self._write(session_id) for session_id in session_ids))
            self._created += session_ids

    async def _write(self, session_id: str) -> None:
        await self._store.write(session_id, self._data, TTL, TTL)

    async def _read(self, session_id: str) -> None:
        json.loads(await self._store.read(session_id, TTL))

    def allocate(self) -> Calls:
        """Create sessions."""
        return (self._write(secrets.token_hex(16)) for _ in count())

    def read(self) -> Calls:
        """Read and decode sessions."""
        return map(self._read, cycle(self._ids))

    def delete(self) -> Calls:
        """Delete the sessions that `prepare` has created, each once."""
        return map(self._store.remove, self._created)


if __name__ == "__main__":
    main(Starsessions)
