"""Scripts are sent when a server does not know them: not with each connection, and once for any number of calls."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import session_hash
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.core import keys
from tests.harness.farms import Proxy
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, manager_on

CONNECTIONS = 10
MANY = 1000
PATIENT = 30.0
"""A call timeout for many calls to a server that writes each change to its disk before it replies."""


def received(server: Server) -> int:
    """Return how many bytes the server has received, without those of this query."""
    with server.client() as client:
        before = client.info("stats")["total_net_input_bytes"]
        return 2 * int(before) - int(client.info("stats")["total_net_input_bytes"])


def logged(server: Server) -> int:
    """Return the size of the append-only file in bytes."""
    with server.client() as client:
        return int(client.info("persistence")["aof_current_size"])


def calls_of(server: Server, command: str) -> int:
    with server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def forget_scripts(server: Server) -> None:
    with server.client() as client:
        client.script_flush()


async def test_a_connection_sends_little_and_writes_nothing_to_the_append_only_file(own_server: Server):
    async with backend_on(own_server.url) as backend:
        manager = manager_on(backend)
        assert await manager.validate_session(await manager.allocate_session())
    sent, written = received(own_server), logged(own_server)
    for _ in range(CONNECTIONS):
        async with backend_on(own_server.url) as backend:
            await echo(backend, b"x")
    assert logged(own_server) == written
    # This includes the connections of the test itself.
    assert received(own_server) - sent < 1000 * CONNECTIONS


@pytest.mark.parametrize("connections", [1, 3])
async def test_a_forgotten_script_is_sent_once_to_each_connection_at_most(own_server: Server, connections: int):
    async with backend_on(own_server.url, connections=connections, call_timeout=PATIENT) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        for _ in range(3):
            assert await manager.validate_session(session_id)
            await asyncio.to_thread(forget_scripts, own_server)
            before = calls_of(own_server, "eval")
            alive = await asyncio.gather(*(manager.validate_session(session_id) for _ in range(MANY)))
            assert all(alive)
            assert calls_of(own_server, "eval") - before <= connections


async def test_a_new_server_is_sent_each_script_once(own_server: Server):
    async with backend_on(own_server.url, call_timeout=PATIENT) as backend:
        manager = manager_on(backend)
        session_ids = await asyncio.gather(*(manager.allocate_session() for _ in range(100)))
        assert all(await asyncio.gather(*(manager.validate_session(session_id) for session_id in session_ids)))
        assert calls_of(own_server, "eval") == 2
        assert calls_of(own_server, "script|load") == 0


async def test_canceling_the_call_that_sends_the_text_does_not_affect_the_others(own_server: Server):
    async with backend_on(own_server.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        before = backend.stats().retries
        tasks = [asyncio.create_task(manager.validate_session(session_id)) for _ in range(20)]
        async with asyncio.timeout(5):
            while backend.stats().retries == before:  # noqa: ASYNC110  (the exact iteration matters)
                await asyncio.sleep(0)
        assert tasks[0].cancel(), "this call sends the text"
        assert all(await asyncio.gather(*tasks[1:]))
        assert calls_of(own_server, "eval") == 2


async def test_a_lost_attempt_is_undone_on_a_server_that_does_not_know_the_delete_script(own_server: Server):
    with Proxy(own_server.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
            manager = manager_on(backend)
            await manager.allocate_session()
            proxy.lose_replies(1, scripts()["allocate"].sha)
            await manager.allocate_session(user_id="ann")
            assert proxy.losses.met == 1
            assert await manager.count_sessions("ann") == 1


@pytest.mark.parametrize("protocol", [2, 3])
async def test_lists_need_no_script_for_records_with_either_protocol(own_server, protocol):
    server = own_server
    async with backend_on(f"{server.url}?protocol={protocol}") as backend:
        manager = manager_on(backend)
        created = [await manager.allocate_session(user_id="alice", custom_metadata={"n": n}) for n in range(3)]
        await manager.list_user_sessions("alice")
        before = calls_of(server, "evalsha"), calls_of(server, "hgetall")
        found = await manager.list_user_sessions("alice")
        assert (calls_of(server, "evalsha"), calls_of(server, "hgetall")) == (before[0] + 1, before[1] + len(created))
        assert sorted(one.reference for one in found) == sorted(map(session_hash, created))
        assert sorted(one.custom_metadata["n"] for one in found) == [0, 1, 2]
        # A record of another type is left out.
        with server.client() as client:
            key = keys.session_keys("test", created[0]).record
            client.delete(key)
            client.set(key, "text")
        assert len(await manager.list_user_sessions("alice")) == 2
