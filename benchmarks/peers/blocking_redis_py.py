"""The peer redis-py for synchronous code: blocking EVALSHA over a connection pool."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import redis

from benchmarks.peers.blocking import BlockingCall, BlockingPeer, main

CONNECTIONS = 64


class BlockingRedisPy(BlockingPeer):
    """redis-py with at least one connection per thread."""

    operations = ("validate", "read", "merge")
    package = "redis"

    def start(self) -> None:
        """Connect, and load the scripts."""
        workload: dict[str, Any] = json.loads(Path(self.options["workload"]).read_text(encoding="utf-8"))
        self._client = redis.Redis.from_url(self.options["url"], max_connections=CONNECTIONS)
        self._shas = {name: self._client.script_load(workload[name]["script"]) for name in self.operations}
        self._calls = {
            name: [(len(keys), *keys, *args) for keys, args in workload[name]["calls"]] for name in self.operations
        }

    def stop(self) -> None:
        """Close the pool."""
        self._client.close()

    def calls(self, operation: str) -> BlockingCall:
        """Run a script on one session after another."""
        evalsha, sha, arguments = self._client.evalsha, self._shas[operation], cycle(self._calls[operation])
        return lambda: evalsha(sha, *next(arguments))


if __name__ == "__main__":
    main(BlockingRedisPy)
