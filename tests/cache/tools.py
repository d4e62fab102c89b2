"""Helpers for the tests of the cache: managers with a cache, and changes by other processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.cache.cached_reads import CachedReads
from chuk_sessions.cache.view import View
from chuk_sessions.core import keys
from tests.harness.servers import Server
from tests.redis.tools import manager_on, until

STALENESS = 0.4
"""A short lease, which does not expire on a busy machine before a test has used it."""


@asynccontextmanager
async def cached_at(
    url: str, cache: LocalCache | None = None, *, touch_interval_seconds: float = 60, **settings: Any
) -> AsyncIterator[SessionManager]:
    """Open a manager with a cache on a backend of its own, and close it at the end."""
    cache = cache or LocalCache(max_staleness_seconds=5)
    backend = RedisBackend(url, **settings)
    async with manager_on(backend, local_cache=cache, touch_interval_seconds=touch_interval_seconds) as manager:
        yield manager


async def fill(manager: SessionManager, *session_ids: str) -> None:
    """Read sessions until all of them are cached."""
    async with asyncio.timeout(10):
        for session_id in session_ids:
            while manager.cached_session(session_id) is None:
                assert await manager.get_session_metadata(session_id)
                await asyncio.sleep(0.001)


async def new_session(manager: SessionManager, **options: Any) -> str:
    """Create a session, and return its id once it is cached."""
    session_id = await manager.allocate_session(**options)
    await fill(manager, session_id)
    return session_id


def record_of(session_id: str) -> str:
    """Return the key of a session's record."""
    return keys.session_keys("test", session_id).record


def change_elsewhere(server: Server, session_id: str, value: Any = None) -> None:
    """Write the metadata value `n` of a session as another process would do it, without the write hook."""
    with server.client() as client:
        client.hset(record_of(session_id), "m:n", value)


def delete_elsewhere(server: Server, session_id: str) -> None:
    """Delete the record of a session as another process would do it."""
    with server.client() as client:
        client.delete(record_of(session_id))


def reads_of(server: Server) -> int:
    """Return how many scripts the server has run."""
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def view_of(manager: SessionManager) -> View:
    """Return the view of a manager in the running event loop."""
    reads = manager._cache
    assert isinstance(reads, CachedReads)
    return reads._current_view()


def stats(manager: SessionManager) -> dict[str, Any]:
    """Return the figures of a manager's cache."""
    return manager.get_cache_stats()


async def until_tracking(manager: SessionManager, session_id: str) -> None:
    """Read a session until the server reports changes."""
    for _ in range(2000):
        if stats(manager)["tracking"]:
            return
        await manager.get_session_metadata(session_id)
        await asyncio.sleep(0.002)
    raise AssertionError(stats(manager)["why_off"])


async def until_gone(manager: SessionManager, session_id: str, seconds: float = 5.0) -> None:
    """Poll the cache until it has no entry of the session."""
    await until(lambda: manager.cached_session(session_id) is None, seconds)


async def start_read(manager: SessionManager, session_id: str, server: Server) -> asyncio.Task[Any]:
    """Start a tracked read, and return once the server has run it, but before its reply was received.

    Nothing is awaited after the read was sent, so the reply waits in the socket.
    """
    before = reads_of(server)
    task = asyncio.create_task(manager.get_session_metadata(session_id))
    view, record = view_of(manager), record_of(session_id)
    for _ in range(100):
        await asyncio.sleep(0)
        if view.entry_of(record) is not None:
            break
    await asyncio.sleep(0)  # the connection sends at the end of the iteration
    wait_here(lambda: reads_of(server) > before)
    return task


def wait_here(condition: Callable[[], Any]) -> None:
    """Wait for a condition without letting the event loop run."""
    for _ in range(5000):
        if condition():
            return
    raise AssertionError("the condition does not hold in time")
