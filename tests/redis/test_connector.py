"""The connector's assumptions about internals of redis-py. If a test fails, a new redis-py has changed them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis.asyncio.connection import Connection as RedisConnection
from redis.asyncio.connection import UnixDomainSocketConnection

from chuk_sessions.backends.redis.net.connection import Connection
from chuk_sessions.backends.redis.net.connector import Connector
from chuk_sessions.backends.redis.net.limiter import InFlightLimiter
from chuk_sessions.backends.redis.net.resp import NotSentError, ReplyError, pack
from chuk_sessions.backends.redis.options import Address, Options
from tests.harness.servers import Server
from tests.redis.tools import EVENT_LOOPS, backend_on, echo, until

SOURCES = Path(__file__).parents[2] / "chuk_sessions" / "backends" / "redis"


def test_redis_py_has_a_tested_version():
    major, minor = version("redis").split(".")[:2]
    assert (int(major), int(minor)) >= (8, 1)
    assert int(major) < 9


@pytest.mark.parametrize("protocol", [2, 3])
@EVENT_LOOPS
@pytest.mark.parametrize("kind", [RedisConnection, UnixDomainSocketConnection])
def test_a_connection_of_redis_py_has_the_internals_that_the_connector_uses(
    server: Server, run: Callable[..., Any], kind: type[Any], protocol: int
):
    async def main() -> None:
        tcp = {"host": "127.0.0.1", "port": server.port}
        where = tcp if kind is RedisConnection else {"path": f"{server.folder}/socket"}
        connection: Any = kind(**where, protocol=protocol, maint_notifications_config=None)
        await connection.connect()
        try:
            writer, reader, parser = connection._writer, connection._reader, connection._parser._reader
            assert [type(internal) for internal in (writer, reader, parser)] == [
                asyncio.StreamWriter, asyncio.StreamReader, hiredis.Reader,
            ]  # fmt: skip
            assert not parser.has_data()
            assert reader._buffer == bytearray()
            assert writer._transport is writer.transport
            assert not connection.maint_notifications_config
        finally:
            connection._writer.transport.abort()
            connection._writer = connection._reader = None
            await asyncio.sleep(0)

    run(main())


def test_only_one_module_touches_the_internals():
    touching = {
        path.name
        for path in SOURCES.rglob("*.py")
        if any(name in path.read_text() for name in ("._writer", "._parser", "._reader._buffer", "redis.asyncio.retry"))
    }
    assert touching == {"connector.py"}


async def test_bytes_in_redis_pys_buffer_reach_the_connection(server: Server, monkeypatch: pytest.MonkeyPatch):
    """The server has replied to a command that redis-py does not know of, so redis-py has buffered the reply."""
    real = RedisConnection.on_connect

    async def send_more(connection: Any) -> None:
        await real(connection)
        connection._writer.write(pack((b"ECHO", b"early")))
        await until(lambda: b"early" in connection._reader._buffer)

    monkeypatch.setattr(RedisConnection, "on_connect", send_more)
    opened_connection = Connection(InFlightLimiter(10, 1000))
    early = opened_connection.send(b"", asyncio.get_running_loop().time() + 5)
    late = opened_connection.send(pack((b"ECHO", b"late")), asyncio.get_running_loop().time() + 5)
    await Connector(Address("127.0.0.1", server.port), Options()).connect(opened_connection)
    opened_connection.resume_writing()
    assert await early == b"early"
    assert await late == b"late"
    opened_connection.abort(ConnectionAbortedError())
    await opened_connection.wait_closed()


async def test_a_connection_with_a_surplus_reply_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch):
    real, opened = RedisConnection.on_connect, 0

    async def send_more(connection: Any) -> None:
        nonlocal opened
        opened += 1
        await real(connection)
        if opened == 1:
            connection._writer.write(pack((b"ECHO", b"whose?")))
            await until(lambda: b"whose?" in connection._reader._buffer)

    monkeypatch.setattr(RedisConnection, "on_connect", send_more)
    async with backend_on(server.url) as backend:
        assert await echo(backend, b"mine") == b"mine"
        assert backend.stats().retries == 1
    assert opened == 2


async def test_a_connection_with_half_a_reply_is_not_used(server: Server, monkeypatch: pytest.MonkeyPatch):
    real = RedisConnection.on_connect

    async def half(connection: Any) -> None:
        await real(connection)
        connection._parser._reader.feed(b"$10\r\nhal")

    monkeypatch.setattr(RedisConnection, "on_connect", half)
    with pytest.raises(NotSentError):
        await Connector(Address("127.0.0.1", server.port), Options()).connect(Connection(InFlightLimiter(10, 1000)))
    await asyncio.sleep(0)


async def test_errors_of_connecting(server: Server):
    async def fails(address: Address, **options: Any) -> Exception:
        try:
            await Connector(address, Options(connect_timeout=0.2, **options)).connect(
                Connection(InFlightLimiter(10, 1000))
            )
        except Exception as failure:
            return failure
        raise AssertionError("the connection opened")

    address = Address("127.0.0.1", server.port)
    assert isinstance(await fails(Address("127.0.0.1", 1)), NotSentError)
    assert isinstance(await fails(Address("no-such-host.invalid")), NotSentError)
    assert isinstance(await fails(Address(path="/nowhere/at/all")), NotSentError)
    assert isinstance(await fails(address, db=9999), ReplyError)
    refused = await fails(address, username="nobody", password="x")
    assert isinstance(refused, ReplyError)
    assert refused.code == "WRONGPASS"

    closed = asyncio.Event()

    async def never_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        closed.set()

    async with await asyncio.start_server(never_reply, "127.0.0.1", 0) as listener:
        hung = await fails(Address("127.0.0.1", listener.sockets[0].getsockname()[1]))
        assert isinstance(hung, NotSentError)
        await asyncio.wait_for(closed.wait(), 5)


async def test_too_many_clients_can_be_retried(server: Server):
    with server.client() as client:
        client.config_set("maxclients", 1)
        try:
            with pytest.raises(NotSentError):
                await Connector(Address("127.0.0.1", server.port), Options()).connect(
                    Connection(InFlightLimiter(10, 1000))
                )
        finally:
            client.config_set("maxclients", 10_000)
