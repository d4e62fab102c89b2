"""What the tests of the link have in common."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.exceptions import SessionUnavailableError
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import Member
from tests.harness.servers import Server

LONG = os.environ.get("CHUK_TEST_LONG") == "1"
"""Run the tests of endurance at their full length."""


def how_many(what: str, few: int, many: int) -> int:
    """How often a random test tries: CHUK_TEST_<WHAT>, or else by the length of the run."""
    return int(os.environ.get(f"CHUK_TEST_{what}", many if LONG else few))


@asynccontextmanager
async def backend_on(url: str, **settings: Any) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(url, **settings)
    try:
        yield backend
    finally:
        await backend.aclose()


def manager_on(backend: RedisBackend, **options: Any) -> SessionManager:
    return SessionManager("test", Factory(backend, lambda: RedisSession(backend, 3600)), **options)


def load_scripts(server: Server | Member) -> None:
    """Have the server know all scripts, so that each call is an EVALSHA that runs."""
    client = server.client if isinstance(server, Member) else server.client()
    for script in scripts().values():
        client.script_load(script.text)
    client.close()


async def echo(backend: RedisBackend, text: bytes) -> bytes:
    """The text, from the server: a reply that shows whose it is."""
    reply, _ = await backend.client.run((b"ECHO", text), "echo", True)
    assert isinstance(reply, bytes)
    return reply


async def until_it_works(backend: RedisBackend) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await echo(backend, b"x")
                return
            except SessionUnavailableError:
                continue


async def works(backend: RedisBackend) -> None:
    manager = manager_on(backend)
    sid = await manager.allocate_session(user_id="ann", custom_metadata={"a": 1})
    assert await manager.validate_session(sid)
    info = await manager.get_session_info(sid)
    assert info is not None
    assert info["custom_metadata"] == {"a": 1}
    assert await manager.delete_session(sid)
    assert not await manager.validate_session(sid)


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Return when the condition holds. Raises AssertionError when it does not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it has not come about in time"
        await asyncio.sleep(0.002)


def connections_named(server: Server, name: str) -> list[dict[str, str]]:
    with server.client() as client:
        return [one for one in client.client_list() if one["name"] == name]


def connections_so_far(server: Server) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_connections_received"])


def wait_until_gone(server: Server, name: str) -> None:
    asyncio.run(until(lambda: not connections_named(server, name)))
