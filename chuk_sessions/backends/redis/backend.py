"""Redis as a backend: operations become EVALSHA, with EVAL behind it for a server that does not know the script."""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from functools import lru_cache
from typing import Any, Unpack

from ...core.operation import Call, Reply, RetryCalls
from ...models import Health
from . import scripts
from .client import Client
from .health import reports, summary
from .net.connection_log import ConnectionLog
from .options import Address, Options
from .per_loop import PerLoop
from .settings import ConnectionSettings, from_env, overrides
from .stats import RedisStats, overview
from .topology.factory import topology_for
from .url import parse

logger = logging.getLogger(__name__)


class RedisBackend:
    """Runs operations on a store of Redis or Valkey: one server, Sentinel, or a cluster.

    `url` is read by `url.parse`, `settings` are those of the module `settings`. Making a backend connects to nothing.
    """

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        tls_insecure: bool = False,
        loaded: dict[str, scripts.Script] | None = None,
        **settings: Unpack[ConnectionSettings],
    ) -> None:
        self._scripts = loaded or scripts.scripts()
        options = replace(from_env(), policy_seen=self._warn, log=ConnectionLog())
        self._target = parse(url, options, tls_insecure=tls_insecure, **overrides(**settings))
        options = self._target.options
        self._loops = PerLoop(lambda: topology_for(self._target))
        self.client = Client(self._loops, self._target.shown, options.call_timeout, options.retries, self._scripts)
        self._waits = options.wait_replicas > 0
        self._warned_of: set[Address] = set()

    def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Coroutine[Any, Any, Reply]:
        """Run a script."""
        return self.client.run_script(call, retry_calls, self._waits and call.operation.durable)

    async def command(
        self, name: str, key: str, *more: str | int, repeatable: bool = True, read_only: bool = False
    ) -> tuple[Any, bool]:
        """The reply of a plain command on one key, and whether it may have been applied once before."""
        return await self.client.run((name, key, *more), name.lower(), repeatable, key, read_only)

    async def ping(self) -> Health:
        """Have the store echo a word, then ask its nodes how they are. See `Health` and `SessionManager.ping`."""
        begun = time.perf_counter()
        # PING is refused, like a write, by a server that cannot save: reads work there.
        await self.client.run((b"ECHO", b"ping"), "ping", True, read_only=True)
        latency_ms = 1000 * (time.perf_counter() - begun)
        loop, topology, _ = self._loops.current()
        found = await reports(topology.nodes(), loop.time() + self._target.options.call_timeout)
        return summary(latency_ms, found)

    async def aclose(self) -> None:
        """Close the running event loop's connections, after calls under way have had their replies."""
        await self._loops.aclose()

    def stats(self) -> RedisStats:
        """How the connections are doing, those of all event loops together. Asks nobody."""
        return overview((node.stats() for one in self._loops.all() for node in one.nodes()), self.client.retries)

    def _warn(self, address: Address, policy: str) -> None:
        """Eviction would log people out, and take indexes apart: warn where a server may evict."""
        if policy != "noeviction" and address not in self._warned_of:
            self._warned_of.add(address)
            logger.warning(
                "the server at %s evicts keys when memory is full (maxmemory-policy %s): live sessions can "
                "vanish. Set it to noeviction.",
                address,
                policy,
            )


def backend_for(url: str, tls_insecure: bool = False, **settings: Unpack[ConnectionSettings]) -> RedisBackend:
    """The backend that all managers and factories of this process with the same settings share."""
    return _shared(url, tls_insecure, from_env(), tuple(sorted(settings.items())))


@lru_cache(maxsize=64)
def _shared(url: str, tls_insecure: bool, _env: Options, settings: tuple[tuple[str, Any], ...]) -> RedisBackend:
    return RedisBackend(url, tls_insecure=tls_insecure, **dict(settings))
