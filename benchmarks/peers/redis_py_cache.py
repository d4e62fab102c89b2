"""The peer redis-py with its client-side cache, which only its blocking client has. One HGETALL reads a hash with the
fields of a session. As in `cached_sessions`, each measured call is a batch.
"""

from __future__ import annotations

import random
from itertools import accumulate, cycle, islice
from typing import Any

import redis
from redis.cache import CacheConfig

from benchmarks.peers.worker import Calls, Peer, main

BATCH = 50
_VISITS = 100_000
_FIELDS: dict[Any, Any] = {
    "c": "1764000000000", "d": "1764086400000", "a": "1764000000000", "v": "1", "u": "user000001",
    "m:role": '"admin"', "m:department": '"engineering"', "m:plan": '"pro"', "m:logins": "3",
}  # fmt: skip


class RedisPyCache(Peer):
    """redis-py's blocking client with `CacheConfig`."""

    package = "redis"
    operations = ("metadata",)

    async def start(self) -> None:
        """Connect, and create the hashes."""
        number = self.options["sessions"]
        config = CacheConfig(max_size=2 * number)
        self._client = redis.Redis.from_url(self.options["url"], protocol=3, cache_config=config)
        keys = [f"redis-py-cache:{rank}" for rank in range(number)]
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hset(key, mapping=_FIELDS)
            pipeline.execute()
        weights = list(accumulate(1 / (rank + 1) ** 0.99 for rank in range(number)))
        self._visits = cycle(random.Random(0).choices(keys, cum_weights=weights, k=_VISITS))
        for key in keys:
            self._client.hgetall(key)

    async def stop(self) -> None:
        """Close the client."""
        self._client.close()

    def metadata(self) -> Calls:
        """Read hashes."""

        async def batch(keys: list[str]) -> None:
            for key in keys:
                self._client.hgetall(key)

        return map(batch, iter(lambda: list(islice(self._visits, BATCH)), None))


if __name__ == "__main__":
    main(RedisPyCache)
