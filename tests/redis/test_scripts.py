"""Scripts travel when a server asks for them: not with each connection, and once however many calls need one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chuk_sessions.backends.redis.scripts import scripts
from tests.conftest import bundled
from tests.harness.farms import Proxy
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, echo, manager_on

CONNECTIONS = 10
MANY = 1000


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of this test's own, which writes to an append-only file."""
    with running(bundled(), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def received(server: Server) -> int:
    """Bytes that the server has been sent, without those of this question."""
    with server.client() as client:
        before = client.info("stats")["total_net_input_bytes"]
        return 2 * int(before) - int(client.info("stats")["total_net_input_bytes"])


def logged(server: Server) -> int:
    """Bytes in the append-only file."""
    with server.client() as client:
        return int(client.info("persistence")["aof_current_size"])


def calls_of(server: Server, command: str) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def forget_scripts(server: Server) -> None:
    with server.client() as client:
        client.script_flush()


async def test_a_connection_sends_little_and_writes_nothing_to_the_append_only_file(own: Server):
    async with backend_on(own.url) as backend:
        manager = manager_on(backend)
        assert await manager.validate_session(await manager.allocate_session())
    sent, written = received(own), logged(own)
    for _ in range(CONNECTIONS):
        async with backend_on(own.url) as backend:
            await echo(backend, b"x")
    assert logged(own) == written
    # The tests' own connections are a part of that.
    assert received(own) - sent < 1000 * CONNECTIONS


@pytest.mark.parametrize("connections", [1, 3])
async def test_a_forgotten_script_is_sent_once_to_each_connection_at_most(own: Server, connections: int):
    async with backend_on(own.url, connections=connections) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        for _ in range(3):
            assert await manager.validate_session(session_id)
            await asyncio.to_thread(forget_scripts, own)
            before = calls_of(own, "eval")
            alive = await asyncio.gather(*(manager.validate_session(session_id) for _ in range(MANY)))
            assert all(alive)
            assert calls_of(own, "eval") - before <= connections


async def test_a_new_server_is_sent_each_script_once(own: Server):
    async with backend_on(own.url) as backend:
        manager = manager_on(backend)
        made = await asyncio.gather(*(manager.allocate_session() for _ in range(100)))
        assert all(await asyncio.gather(*(manager.validate_session(session_id) for session_id in made)))
        assert calls_of(own, "eval") == 2
        assert calls_of(own, "script|load") == 0


async def test_a_caller_that_leaves_with_the_text_leaves_the_others_unharmed(own: Server):
    async with backend_on(own.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        before = backend.stats().retries
        tasks = [asyncio.create_task(manager.validate_session(session_id)) for _ in range(20)]
        async with asyncio.timeout(5):
            while backend.stats().retries == before:  # noqa: ASYNC110  (the very turn of the loop counts)
                await asyncio.sleep(0)
        assert tasks[0].cancel(), "it was the first to send the text"
        assert all(await asyncio.gather(*tasks[1:]))
        assert calls_of(own, "eval") == 2


async def test_a_lost_attempt_is_undone_on_a_server_that_does_not_know_the_script_for_that(own: Server):
    with Proxy(own.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
            manager = manager_on(backend)
            await manager.allocate_session()
            proxy.lose_replies(1, scripts()["allocate"].sha)
            await manager.allocate_session(user_id="ann")
            assert proxy.losses.met == 1
            assert await manager.count_sessions("ann") == 1
