"""Idle connections: some have been dropped without notice."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.net.connection import Connection
from chuk_sessions.backends.redis.net.connector import Connector
from chuk_sessions.backends.redis.net.limiter import InFlightLimiter
from chuk_sessions.backends.redis.net.node import Node
from chuk_sessions.backends.redis.net.probe import keepalive_options
from chuk_sessions.backends.redis.options import Address, Options
from tests.conftest import bundled
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, manager_on, soon

IDLE = 1.2
SOON = 2.0


@contextmanager
def in_time() -> Iterator[None]:
    """Assert that the body does not take long."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


@asynccontextmanager
async def connected(
    proxy: Proxy, certificates: Certificates
) -> AsyncIterator[tuple[RedisBackend, SessionManager, str]]:
    """Open a backend through a proxy, with a manager and a session."""
    scheme, query = ("rediss", f"?ssl_ca_certs={certificates.authority}") if proxy.tls else ("redis", "")
    async with backend_on(f"{scheme}://localhost:{proxy.port}{query}") as backend:
        manager = manager_on(backend)
        yield backend, manager, await manager.allocate_session()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_the_first_calls_after_a_silent_drop_succeed_soon(
    server: Server, certificates: Certificates, encrypted: bool, caplog: pytest.LogCaptureFixture
):
    with Proxy(server.port, tls=certificates.context if encrypted else None) as proxy:
        async with connected(proxy, certificates) as (backend, manager, session_id):
            for number in range(1, 3):
                await asyncio.sleep(IDLE)
                assert proxy.drop() >= 1
                with in_time():
                    assert await manager.validate_session(session_id)
                await asyncio.sleep(IDLE)
                assert proxy.drop() >= 1
                with in_time():
                    assert await manager.increment_session_counter(session_id, "n") == (True, number)
            assert backend.stats().reconnects == 4
    assert "after it had been idle" in caplog.text


async def test_many_calls_after_a_silent_drop_share_one_probe_and_one_connection(
    server: Server, certificates: Certificates
):
    with Proxy(server.port) as proxy:
        async with connected(proxy, certificates) as (backend, manager, session_id):
            await asyncio.sleep(IDLE)
            proxy.drop()
            with in_time():
                calls = (manager.increment_session_counter(session_id, "n") for _ in range(200))
                results = await asyncio.gather(*calls)
            assert sorted(one.value for one in results if one) == list(range(1, 201))
            assert backend.stats().reconnects == 1


async def test_all_connections_are_probed(server: Server, certificates: Certificates):
    """Even the connection for large calls."""
    large = {"text": "x" * 100_000}
    with Proxy(server.port) as proxy:
        async with connected(proxy, certificates) as (backend, manager, session_id):
            await manager.update_session_metadata(session_id, large)
            await asyncio.gather(*(manager.get_session_info(session_id) for _ in range(20)))
            assert backend.stats().connections == 2
            await asyncio.sleep(IDLE)
            assert proxy.drop() == 2
            with in_time():
                info, changed = await asyncio.gather(
                    manager.get_session_info(session_id), manager.update_session_metadata(session_id, large)
                )
            assert changed
            assert info is not None


async def test_a_live_idle_connection_is_kept(own_server: Server):
    async with backend_on(own_server.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(IDLE)
        with own_server.client() as client:
            before = client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]
            assert all(await asyncio.gather(*(manager.validate_session(session_id) for _ in range(50))))
            assert client.info("commandstats")["cmdstat_ping"]["calls"] == before + 1
        assert backend.stats().reconnects == 0


async def test_an_idle_connection_is_kept_if_its_user_may_not_ping(server: Server):
    with server.client() as client:
        client.acl_setuser("mute", enabled=True, nopass=True, keys="*", commands=["+@all", "-ping"])
    async with backend_on(server.url.replace("redis://", "redis://mute:x@")) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        await asyncio.sleep(IDLE)
        assert await manager.validate_session(session_id)
        assert backend.stats().reconnects == 0


async def test_a_silent_connection_with_calls_in_flight_is_kept_until_their_deadlines():
    """Closing it earlier would make the outcomes of these calls unknown."""
    with running(bundled()) as own:
        async with backend_on(own.url) as backend:
            manager = manager_on(backend)
            session_id = await manager.allocate_session()
            own.signal(signal.SIGSTOP)
            first = asyncio.ensure_future(manager.increment_session_counter(session_id, "n"))
            await asyncio.sleep(IDLE)
            second = asyncio.ensure_future(manager.increment_session_counter(session_id, "n"))
            await asyncio.sleep(IDLE)
            own.signal(signal.SIGCONT)
            assert await first == (True, 1)
            assert await second == (True, 2)
            assert backend.stats().reconnects == 0


async def test_a_late_probe_costs_no_call_with_an_earlier_deadline_its_outcome():
    """Such a call needs no probe itself, so it may be sent during one."""
    with running(bundled()) as own:
        node = Node(Address("127.0.0.1", own.port), Options())
        assert await node.call(((b"INCR", b"n"),), soon()) == 1
        await asyncio.sleep(IDLE)
        own.signal(signal.SIGSTOP)
        later = asyncio.ensure_future(node.call(((b"INCR", b"n"),), soon(6)))
        await asyncio.sleep(0)
        assert node.open_connections()[0].in_flight == 0
        earlier = asyncio.ensure_future(node.call(((b"INCR", b"n"),), soon(4)))
        await asyncio.sleep(IDLE)
        own.signal(signal.SIGCONT)
        assert sorted(await asyncio.gather(earlier, later)) == [2, 3]
        assert node.stats().reconnects == 0
        await node.aclose()


async def test_the_kernel_probes_dead_peers(server: Server):
    connection = Connection(InFlightLimiter(10, 1000))
    await Connector(Address("127.0.0.1", server.port), Options(call_timeout=7.0)).connect(connection)
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    options = keepalive_options(7.0)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert {name: sock.getsockopt(socket.IPPROTO_TCP, name) for name in options} == options
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert options[socket.TCP_USER_TIMEOUT] == 7000
    connection.abort(ConnectionResetError("the test is over"))
    await connection.wait_closed()
