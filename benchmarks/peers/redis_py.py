"""The peer redis-py: a connection pool, and EVALSHA."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import redis.asyncio as redis

from benchmarks.peers.scripted import Call, Scripted
from benchmarks.peers.worker import main

CONNECTIONS = 2000
TIMEOUT = 60
"""Seconds to wait for a connection or a reply."""


class RedisPy(Scripted):
    """redis-py with at least one connection per caller, which is faster than a pool for which callers wait."""

    package = "redis"

    async def connect(self) -> None:
        """Connect, and load the scripts."""
        pool = redis.ConnectionPool.from_url(
            self.options["url"], max_connections=CONNECTIONS, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT
        )
        self._client: redis.Redis = redis.Redis(connection_pool=pool)
        self._shas = {name: await self._client.script_load(text) for name, text in self.scripts.items()}

    async def stop(self) -> None:
        """Close the client and its pool."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def run(self, name: str, call: Call) -> Awaitable[Any]:
        """Run a script."""
        return self._client.evalsha(self._shas[name], len(call.keys), *call.keys, *call.args)

    def setex_value(self, key: str) -> Awaitable[Any]:
        """Store a value for an hour."""
        return self._client.setex(key, 3600, "value")

    def remove_value(self, key: str) -> Awaitable[Any]:
        """Delete a value."""
        return self._client.delete(key)


if __name__ == "__main__":
    main(RedisPy)
