"""The peer valkey-glide: one connection, driven by its core in Rust."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

from glide import ExpirySet, ExpiryType, GlideClient, GlideClientConfiguration, NodeAddress, Script

from benchmarks.peers.scripted import Call, Scripted
from benchmarks.peers.worker import main


class Glide(Scripted):
    """valkey-glide with an in-flight limit above the number of callers."""

    package = "valkey-glide"

    async def connect(self) -> None:
        """Connect. The client loads each script at its first use."""
        parts = urlsplit(self.options["url"])
        self._client = await GlideClient.create(
            GlideClientConfiguration(
                [NodeAddress(parts.hostname, parts.port)], request_timeout=5000, inflight_requests_limit=10_000
            )
        )
        self._scripts = {name: Script(text) for name, text in self.scripts.items()}
        self._hour = ExpirySet(ExpiryType.SEC, 3600)

    async def stop(self) -> None:
        """Close the client."""
        await self._client.close()

    def run(self, name: str, call: Call) -> Awaitable[Any]:
        """Run a script."""
        awaitable: Awaitable[Any] = self._client.invoke_script(self._scripts[name], keys=call.keys, args=call.args)
        return awaitable

    def setex_value(self, key: str) -> Awaitable[Any]:
        """Store a value for an hour."""
        awaitable: Awaitable[Any] = self._client.set(key, "value", expiry=self._hour)
        return awaitable


if __name__ == "__main__":
    main(Glide)
