"""Helpers for the tests of connections and topologies."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.backends.redis.topology.slots import slot_of
from chuk_sessions.core import keys
from chuk_sessions.exceptions import SessionUnavailableError
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import Member
from tests.harness.servers import Server

EVENT_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
"""Run a test on both kinds of event loops. It gets `run`, which runs a coroutine in a new loop."""

BUSY_LOOP = """
local function now() local time = redis.call('TIME') return time[1] * 1000 + time[2] / 1000 end
local deadline = now() + ARGV[1]
while now() < deadline do end
"""
"""A script that keeps the server busy for as many ms as its argument says."""

BUSY_SETTING = "lua-time-limit"
"""The old name of busy-reply-threshold, which all servers accept; Redis 6.2 knows no other."""

BUSY_AFTER_MS = 20

LONG = os.environ.get("CHUK_TEST_LONG") == "1"
"""Run endurance tests at their full length."""


def how_many(what: str, few: int, many: int) -> int:
    """Return how often a random test repeats: CHUK_TEST_<WHAT>, or else by the length of the run."""
    return int(os.environ.get(f"CHUK_TEST_{what}", many if LONG else few))


def soon(seconds: float = 5.0) -> float:
    """Return a deadline by the clock of the running event loop."""
    return asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def backend_on(url: str, **settings: Any) -> AsyncIterator[RedisBackend]:
    """Open a backend, and close it at the end."""
    backend = RedisBackend(url, **settings)
    try:
        yield backend
    finally:
        await backend.aclose()


def manager_on(backend: RedisBackend, **options: Any) -> SessionManager:
    """Return a manager on a backend that the caller closes."""
    return SessionManager("test", Factory(backend, lambda: RedisSession(backend, 3600)), **options)


@asynccontextmanager
async def manager_at(url: str, **settings: Any) -> AsyncIterator[SessionManager]:
    """Open a manager with a backend of its own, and close both at the end."""
    async with manager_on(RedisBackend(url, **settings)) as manager:
        yield manager


def retries_of(manager: SessionManager) -> int:
    """Return how many retries there were so far."""
    backend = manager._backend
    assert isinstance(backend, RedisBackend)
    return backend.stats().retries


def slot_of_session(session_id: str) -> int:
    """Return the cluster slot of a session."""
    return slot_of(keys.session_keys("test", session_id).record)


def load_scripts(server: Server | Member) -> None:
    """Load all scripts into the server, so that each call is an EVALSHA that succeeds."""
    client = server.client if isinstance(server, Member) else server.client()
    for script in scripts().values():
        client.script_load(script.text)
    client.close()


async def echo(backend: RedisBackend, text: bytes) -> bytes:
    """Return the text as the server sends it back: a reply that shows which call it belongs to."""
    reply, _ = await backend.client.run((b"ECHO", text), "echo", True)
    assert isinstance(reply, bytes)
    return reply


async def until_it_works(backend: RedisBackend) -> None:
    """Call the server until a call succeeds."""
    async with asyncio.timeout(5):
        while True:
            try:
                await echo(backend, b"x")
                return
            except SessionUnavailableError:
                continue


async def works(backend: RedisBackend) -> None:
    """Assert that the operations on a session work."""
    manager = manager_on(backend)
    session_id = await manager.allocate_session(user_id="ann", custom_metadata={"a": 1})
    assert await manager.validate_session(session_id)
    info = await manager.get_session_info(session_id)
    assert info is not None
    assert info["custom_metadata"] == {"a": 1}
    assert await manager.delete_session(session_id)
    assert not await manager.validate_session(session_id)


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Poll until the condition holds.

    Raises:
        AssertionError: it does not hold in time.

    """
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "the condition does not hold in time"
        await asyncio.sleep(0.002)


def connections_named(server: Server, name: str) -> list[dict[str, str]]:
    """Return the server's client connections with that name."""
    with server.client() as client:
        return [one for one in client.client_list() if one["name"] == name]


def kill_clients(server: Server) -> None:
    """Close all client connections of the server, except for the one that asks for it."""
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def connections_so_far(server: Server) -> int:
    """Return how many connections the server has accepted."""
    with server.client() as client:
        return int(client.info("stats")["total_connections_received"])


def wait_until_closed(server: Server, name: str) -> None:
    """Wait until the server has no connection with that name."""
    asyncio.run(until(lambda: not connections_named(server, name)))
