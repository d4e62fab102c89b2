"""The peer coredis: its connection pool pipelines the calls of many tasks over few connections."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import coredis

from benchmarks.peers.scripted import Call, Scripted
from benchmarks.peers.worker import main


class Coredis(Scripted):
    """coredis with its default settings."""

    package = "coredis"

    async def connect(self) -> None:
        """Connect, and load the scripts."""
        parts = urlsplit(self.options["url"])
        self._client = coredis.Redis(host=parts.hostname, port=parts.port)
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self._client)
        self._shas = {name: await self._client.script_load(text) for name, text in self.scripts.items()}

    async def stop(self) -> None:
        """Close the client."""
        await self._stack.aclose()

    def run(self, name: str, call: Call) -> Awaitable[Any]:
        """Run a script."""
        awaitable: Awaitable[Any] = self._client.evalsha(self._shas[name], keys=call.keys, args=call.args)
        return awaitable

    def setex_value(self, key: str) -> Awaitable[Any]:
        """Store a value for an hour."""
        awaitable: Awaitable[Any] = self._client.setex(key, "value", 3600)
        return awaitable


if __name__ == "__main__":
    main(Coredis)
