"""The backend for Redis: each operation becomes an EVALSHA, or an EVAL for a server that does not have the script."""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Unpack

from ...core.call_hook import CallHook, RunBackend
from ...core.operation import Call, Reply, RetryCalls
from ...core.statuses import CORRUPT, OK
from ...core.tracking import Observer
from ...core.write_hook import WriteHook
from ...exceptions import CorruptRecordError
from ...models import Health
from . import scripts
from .client import Client
from .health import reports, summary
from .inspection import RedisInspection, inspect
from .net.connection_log import ConnectionLog
from .options import Address, Options
from .per_loop import PerLoop
from .scanning import RedisServer, servers
from .settings import ConnectionSettings, from_env, overrides
from .stats import RedisStats, overview
from .topology.factory import topology_for
from .tracking import Tracking
from .url import Kind, StoreURL, parse

logger = logging.getLogger(__name__)

_WRITE_HOOK = WriteHook()
"""Shared by all Redis backends of the process, because any two URLs may name the same store. Record keys of different
stores rarely coincide, and a listener that hears one write too many is not misled: records only may have changed.
"""


class RedisBackend:
    """A backend that runs operations on Redis or Valkey: one server, Sentinel, or a cluster.

    `url.parse` describes `url`, and the module `settings` describes `settings`. `loaded` replaces the scripts that are
    shipped. Creating a backend does not connect.
    """

    name = "redis"
    write_hook = _WRITE_HOOK

    def __init__(
        self,
        url: str,
        *,
        tls_insecure: bool = False,
        loaded: dict[str, scripts.Script] | None = None,
        **settings: Unpack[ConnectionSettings],
    ) -> None:
        self._scripts = loaded or scripts.scripts()
        options = replace(from_env(), policy_seen=self._warn_of_eviction, log=ConnectionLog())
        store = parse(url, options, tls_insecure=tls_insecure, **overrides(**settings))
        options = store.options
        self._store = store
        self._options = options
        self._call_timeout = options.call_timeout
        self._per_loop = PerLoop(lambda: topology_for(store))
        self.client = Client(
            self._per_loop, store.redacted, options.call_timeout, options.retries, self._scripts, self.write_hook
        )
        self._waits_for_replicas = options.wait_replicas > 0
        self._warned_of: set[Address] = set()
        self.call_hook = CallHook(self, _attributes(store))
        self._run_script: RunBackend
        self._run_command: RunBackend
        self.hook_changed()
        self.call_hook.greet()

    def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Coroutine[Any, Any, Reply]:
        """Run a script, or the plain command that an operation consists of. See `Backend.run`."""
        if call.operation.command:
            return self._run_command(call)
        return self._run_script(call, retry_calls, self._waits_for_replicas and call.operation.durable)

    def hook_changed(self) -> None:
        """Replace the functions that run calls, so that they need not ask whether anybody traces them."""
        client, hook = self.client, self.call_hook
        client.count = None if hook.counter is None else hook.counter.count
        tracer = hook.tracer
        if tracer is None:
            self._run_script, self._run_command = client.run_script, partial(_run_command, client)
        else:
            self._run_script = tracer.wrap(client.run_script)
            self._run_command = tracer.wrap(partial(_run_command, client))

    async def command(
        self, name: str, key: str, *args: str | int, retryable: bool = True, read_only: bool = False
    ) -> tuple[Any, bool]:
        """Run a plain command on one key. Return its reply, and whether an earlier attempt may have been applied."""
        return await self.client.run((name, key, *args), name.lower(), retryable, key, read_only)

    def track(self, observer: Observer, max_staleness: float) -> Tracking:
        """Return tracked reads for the running event loop, see `core.tracking`."""
        return Tracking(self.client, self._options, observer, max_staleness)

    async def read_streams(self, after: Mapping[str, bytes], limit: int) -> dict[str, list[Any]] | None:
        """Read streams with one XREAD, which costs the server a third of one XRANGE each. See `ReadsStreams`."""
        if not after or self.client.topology().slotted:
            return None
        command: tuple[str | bytes | int, ...] = (b"XREAD", b"COUNT", limit, b"STREAMS", *after, *after.values())
        reply, _ = await self.client.run(command, "xread", True, next(iter(after)), read_only=True)
        # With RESP3, the reply is a dict.
        pairs = reply.items() if isinstance(reply, dict) else reply or ()
        return {key.decode(): entries for key, entries in pairs}

    async def key_servers(self) -> Sequence[RedisServer]:
        """Return the primaries, with their keys. See `ScansKeys`."""
        return await servers(self.client)

    async def ping(self) -> Health:
        """Send an ECHO, then query the health of all nodes. See `Health` and `SessionManager.ping`."""
        begun_at = time.perf_counter()
        # A server that cannot save its data refuses PING, like a write. Reads still work there.
        await self.client.run((b"ECHO", b"ping"), "ping", True, read_only=True)
        latency_ms = 1000 * (time.perf_counter() - begun_at)
        loop, topology, _ = self._per_loop.current()
        return summary(latency_ms, await reports(topology.nodes(), loop.time() + self._call_timeout))

    async def inspect(self) -> RedisInspection:
        """Find the servers for diagnostics, see `core.inspection`. The caller must close the inspection."""
        return await inspect(self._store, self.client)

    async def aclose(self) -> None:
        """Close the running event loop's connections after the calls in flight have received their replies."""
        await self._per_loop.aclose()

    def stats(self) -> RedisStats:
        """Return the state of the connections of all event loops, without a query."""
        nodes = (node for topology in self._per_loop.all() for node in topology.nodes())
        return overview((node.stats() for node in nodes), self.client.retries)

    def _warn_of_eviction(self, address: Address, policy: str) -> None:
        """Log a warning, once per server that may evict keys: eviction logs users out and breaks indexes."""
        if policy != "noeviction" and address not in self._warned_of:
            self._warned_of.add(address)
            logger.warning(
                "the server at %s evicts keys when memory is full (maxmemory-policy %s): live sessions can "
                "vanish. Set it to noeviction.",
                address,
                policy,
            )


async def _run_command(
    client: Client, call: Call, _retry_calls: RetryCalls | None = None, _durable: bool = False
) -> Reply:
    operation, (key, *_), argv = call
    count, begun_at, reply = client.count, time.perf_counter(), None
    try:
        found, _ = await client.run(
            (operation.command, key, *argv), operation.name, True, key, read_only=True, large=operation.large_reply
        )
        # With RESP3, a hash arrives as a dict.
        reply = [OK, [part for pair in found.items() for part in pair] if isinstance(found, dict) else found]
    except CorruptRecordError:
        reply = [CORRUPT]
    finally:
        if count is not None:
            count(call, reply, begun_at)
    return reply


def _attributes(store: StoreURL) -> dict[str, str | int]:
    """Return what spans tell about the store. The server is named if there is only one."""
    found: dict[str, str | int] = {"db.system.name": "redis", "db.namespace": str(store.options.db)}
    if store.kind is Kind.SERVER and len(store.addresses) == 1:
        (address,) = store.addresses
        found["server.address"] = address.path or address.host
        if not address.path:
            found["server.port"] = address.port
    return found


def backend_for(url: str, tls_insecure: bool = False, **settings: Unpack[ConnectionSettings]) -> RedisBackend:
    """Return the backend that all managers and factories of this process with the same settings share."""
    return _shared(url, tls_insecure, from_env(), tuple(sorted(settings.items())))


@lru_cache(maxsize=64)
def _shared(url: str, tls_insecure: bool, _env: Options, settings: tuple[tuple[str, Any], ...]) -> RedisBackend:
    return RedisBackend(url, tls_insecure=tls_insecure, **dict(settings))
