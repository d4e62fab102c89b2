"""Replies of all kinds: in fragments, large, pushed, invalid; and servers that close connections."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions.backends.redis.net.resp import pack
from chuk_sessions.backends.redis.scripts import Script
from chuk_sessions.exceptions import ProviderError, SessionTimeoutError, SessionUnavailableError
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import Proxy
from tests.harness.servers import Server
from tests.redis.tools import backend_on, connections_named, echo, manager_on, until, works


@pytest.mark.parametrize("protocol", [2, 3])
async def test_replies_that_arrive_byte_by_byte(server: Server, protocol: int):
    with Proxy(server.port, fragment=1) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}?protocol={protocol}") as backend:
            texts = [b"%d" % number for number in range(100)]
            assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts
            await works(backend)


async def test_large_arguments_and_replies(server: Server):
    async with backend_on(server.url, client_name="large") as backend:
        session = RedisSession(backend, 60)
        large = "x" * (12 << 20)
        await session.set("large", large)
        assert await session.get("large") == large
        small = [b"%d" % number for number in range(50)]
        replies = await asyncio.gather(session.get("large"), *(echo(backend, text) for text in small))
        assert replies == [large, *small]
        # Large and small arguments use different connections.
        assert len(connections_named(server, "large")) == 2
        manager = manager_on(backend, max_metadata_bytes=8 << 20, max_session_bytes=8 << 20)
        session_id = await manager.allocate_session(custom_metadata={"a": "y" * (4 << 20)})
        info = await manager.get_session_info(session_id)
        assert info is not None
        assert len(info["custom_metadata"]["a"]) == 4 << 20


async def test_pushes_are_not_taken_for_replies(server: Server):
    """With RESP3, a server may push messages; here, that keys have changed which a client has read."""
    async with backend_on(server.url) as backend:
        session = RedisSession(backend, 60)
        await session.set("k", "0")
        await backend.command("CLIENT", "TRACKING", "ON")
        with server.client() as client:
            for number in range(50):
                assert await session.get("k") == str(number)
                client.set("k", number + 1)
                text = b"%d" % number
                assert await echo(backend, text) == text


async def test_a_protocol_error_is_a_typed_error():
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with backend_on(f"redis://127.0.0.1:{port}", retries=1, call_timeout=1.0) as backend:
            with pytest.raises(ProviderError):
                await echo(backend, b"x")
            await until(lambda: backend.stats().connections == 0)


async def test_a_connection_that_closes_after_the_handshake_is_a_typed_error_in_time():
    """The server's last reply and the EOF arrive together."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = 0
        while commands < 3 and (data := await reader.read(4096)):
            found = data.count(b"HELLO\r") + data.count(b"SETINFO")
            commands += found
            writer.write(b"%0\r\n" * data.count(b"HELLO\r") + b"+OK\r\n" * data.count(b"SETINFO"))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with backend_on(f"redis://127.0.0.1:{port}?client_name=", retries=3, call_timeout=2) as backend:
            async with asyncio.timeout(2.1):
                results = await asyncio.gather(*(echo(backend, b"x") for _ in range(50)), return_exceptions=True)
        assert {type(result) for result in results} <= {SessionUnavailableError, SessionTimeoutError}


async def test_a_server_without_resp3_gets_resp2():
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            received.append(data)
            for word in (b"HELLO", b"SETNAME", b"LIB-NAME", b"LIB-VER", b"\nLOAD", b"\nINFO"):
                reply = b"-ERR unknown command 'HELLO'\r\n" if word == b"HELLO" else b"+OK\r\n"
                writer.write(reply * data.count(word))
            writer.write(b"$1\r\nx\r\n" * data.count(b"ECHO"))
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with backend_on(f"redis://127.0.0.1:{port}", loaded={"read": Script(b"return 1", b"")}) as backend:
            assert await echo(backend, b"x") == b"x"
            assert sum(b"HELLO" in data for data in received) == 1


def test_script_calls_are_packed_like_other_commands():
    script = Script(b"return 1", b"0" * 40)
    for number in (*range(100), *range(100)):
        for key in ("k", "{key}", "%d", "\u00e9"):
            assert script.call((key,), (number,)) == pack((b"EVALSHA", script.sha, 1, key, number))
