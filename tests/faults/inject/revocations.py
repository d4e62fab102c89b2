"""Revocations of sessions that another process has in its local cache, during faults.

The revoker writes to the server directly, as a process of its own would: the write hook does not report it here.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import keys
from tests.faults.environments import Environment
from tests.faults.load.counts import Counts
from tests.faults.load.load import PATIENCE, Load
from tests.harness.farms import Member, wait_for
from tests.redis.tools import manager_on

MAX_STALENESS = 0.5
SESSIONS = 20

Revoke = Callable[[str], object]


class Watch:
    """A process with a cache, which looks at all sessions again and again.

    Attributes:
        manager: its manager.
        session_ids: the sessions.
        seen: when it last found a session in its cache, by id.
        revoked: when the reply to the revocation of a session arrived, by id.

    """

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.session_ids: list[str] = []
        self.seen: dict[str, float] = {}
        self.revoked: dict[str, float] = {}

    async def fill(self) -> None:
        """Create sessions, and read them until all are cached."""
        self.session_ids = [await self.manager.allocate_session() for _ in range(SESSIONS)]
        for session_id in self.session_ids:
            await self.read(session_id)

    async def read(self, session_id: str) -> None:
        """Read a session until it is cached."""
        end = time.monotonic() + PATIENCE
        while self.manager.cached_session(session_id) is None:
            assert time.monotonic() < end
            await self.manager.get_session_metadata(session_id)
            await asyncio.sleep(0.001)

    async def look(self) -> None:
        """Note which sessions are cached, until canceled."""
        while True:
            for session_id in self.session_ids:
                asked = time.monotonic()
                if self.manager.cached_session(session_id) is not None:
                    self.seen[session_id] = asked
            await asyncio.sleep(0.001)

    async def revoke(self, session_id: str, by: Revoke) -> None:
        """Revoke a session in another thread."""
        await asyncio.to_thread(by, session_id)
        self.revoked[session_id] = time.monotonic()

    def stale(self) -> int:
        """Return how many sessions were found later than the bound allows."""
        return sum(self.seen.get(one, 0.0) > revoked + MAX_STALENESS for one, revoked in self.revoked.items())


@asynccontextmanager
async def _watching(environment: Environment, load: Load) -> AsyncIterator[Watch]:
    cache = LocalCache(max_staleness_seconds=MAX_STALENESS)
    backend = RedisBackend(environment.url, call_timeout=PATIENCE)
    async with manager_on(backend, touch_interval_seconds=60, local_cache=cache) as manager:
        watch = Watch(manager)
        await watch.fill()
        looking = asyncio.create_task(watch.look())
        try:
            yield watch
            await asyncio.sleep(2 * MAX_STALENESS)
        finally:
            looking.cancel()
    load.others.append(Counts(revoked=len(watch.revoked), stale=watch.stale()))


def _record(session_id: str) -> str:
    return keys.session_keys("test", session_id).record


async def behind_black_hole(environment: Environment, load: Load, seconds: float) -> None:
    """Stop forwarding anything between clients and server, and revoke sessions at the server."""

    def revoke(session_id: str) -> None:
        with environment.server.client() as client:
            client.delete(_record(session_id))

    async with _watching(environment, load) as watch:
        environment.proxy.frozen = True
        for session_id in watch.session_ids:
            await watch.revoke(session_id, revoke)
        await asyncio.sleep(2 * MAX_STALENESS)
        environment.proxy.frozen = False


async def with_killed_connections(environment: Environment, load: Load, seconds: float) -> None:
    """Kill all connections of clients, and revoke sessions in between."""

    def revoke(session_id: str) -> None:
        with environment.server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
            client.delete(_record(session_id))

    async with _watching(environment, load) as watch:
        for session_id in watch.session_ids:
            await watch.read(session_id)
            await watch.revoke(session_id, revoke)


async def at_failover(environment: Environment, load: Load, seconds: float) -> None:
    """Suspend the primary (SIGSTOP) until another has replaced it, and revoke sessions there."""
    farm = environment.sentinels
    async with _watching(environment, load) as watch:
        old = await asyncio.to_thread(farm.primary)
        await _until_replicated(farm.members, watch.session_ids)
        old.server.signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(wait_for, lambda: farm.primary() is not old, "a new primary")
            new = await asyncio.to_thread(farm.primary)
            for session_id in watch.session_ids:
                await watch.revoke(session_id, lambda one: new.command("DEL", _record(one)))
        finally:
            old.server.signal(signal.SIGCONT)


async def during_migration(environment: Environment, load: Load, seconds: float) -> None:
    """Migrate the slots of sessions to other nodes, and revoke the sessions there."""
    farm = environment.cluster

    def migrate_and_revoke(session_id: str) -> None:
        slot = slot_of(_record(session_id))
        owners, source = farm.owners(), farm.owner(slot)
        target = owners[(owners.index(source) + 1) % len(owners)]
        farm.move(slot, target)
        target.command("DEL", _record(session_id))

    async with _watching(environment, load) as watch:
        for session_id in watch.session_ids:
            await watch.revoke(session_id, migrate_and_revoke)


async def _until_replicated(members: Sequence[Member], session_ids: Sequence[str]) -> None:
    def replicated() -> bool:
        return all(member.command("EXISTS", *map(_record, session_ids)) == len(session_ids) for member in members)

    await asyncio.to_thread(wait_for, replicated, "sessions on all replicas")
