"""Error messages name the cause: the server, the protocol, the permission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chuk_sessions.exceptions import SessionUnavailableError
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import backend_on, manager_on

RULES = "on >few ~chuk1:* +@read +@write +@connection +@scripting +time"
KEYS = "this user may not access a key: its ACL needs ~chuk1:* for sessions, and a pattern for keys of the provider API"


async def refusal(url: str, **settings: Any) -> SessionUnavailableError:
    async with backend_on(url, **settings) as backend:
        with pytest.raises(SessionUnavailableError) as caught:
            await manager_on(backend).validate_session("some-session")
        return caught.value


async def test_a_refused_password_names_the_server(any_server: Server):
    error = await refusal(f"redis://nobody:wrong@127.0.0.1:{any_server.port}")
    assert f"does not take this user and password (127.0.0.1:{any_server.port})" in str(error)
    assert "wrong" not in str(error)


async def test_tls_at_a_port_without_it(any_server: Server, certificates: Certificates):
    """The server waits for the end of a line, and the client for the TLS handshake."""
    url = f"rediss://localhost:{any_server.port}?{certificates.query}"
    error = await refusal(url, call_timeout=0.5)
    assert "does the port speak TLS?" in str(error)
    error = await refusal(url, connect_timeout=0.2, call_timeout=1.0)
    assert "does the port speak TLS?" in str(error)


async def test_tls_at_a_port_that_replies_without_it(certificates: Certificates):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR max number of clients reached\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        error = await refusal(f"rediss://localhost:{port}?{certificates.query}", call_timeout=1.0)
    assert "does the port speak TLS?" in str(error)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_no_tls_at_a_port_with_it(any_server: Server, certificates: Certificates, protocol: int):
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        error = await refusal(f"redis://localhost:{proxy.port}?protocol={protocol}", call_timeout=1.0)
    assert "if the port expects TLS, the URL begins with rediss://" in str(error)


async def test_a_server_instead_of_a_sentinel(any_server: Server):
    error = await refusal(f"redis://127.0.0.1:{any_server.port}/abc")
    assert "a database is a number" in str(error)


@contextmanager
def user_with(server: Server, *rules: str) -> Iterator[str]:
    """Create a user with the usual rules, followed by these. Return the URL for it."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "reset", *RULES.split(), *rules)
        client.script_flush()
        yield f"redis://few:few@127.0.0.1:{server.port}"
        client.execute_command("ACL", "DELUSER", "few")


async def message_of(call: Awaitable[Any]) -> str:
    with pytest.raises(SessionUnavailableError) as caught:
        await call
    return str(caught.value)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("-time", "this user may not run the 'time' command: its ACL lacks +time"),
        ("-zadd", "this user may not run the 'zadd' command: its ACL lacks +zadd"),
        ("-evalsha", "this user may not run the 'evalsha' command: its ACL lacks +evalsha"),
        ("resetkeys", KEYS),
    ],
)
async def test_a_missing_permission_of_a_script_is_named(any_server: Server, rule: str, message: str):
    with user_with(any_server, rule) as url:
        async with backend_on(url) as backend:
            assert await message_of(manager_on(backend).allocate_session(user_id="ann")) == f"allocate: {message}"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("-set", "this user may not run the 'set' command: its ACL lacks +set"),
        ("+set", KEYS),
    ],
)
async def test_a_missing_permission_of_the_provider_api_is_named(any_server: Server, rule: str, message: str):
    with user_with(any_server, rule) as url:
        async with backend_on(url) as backend:
            assert await message_of(RedisSession(backend, 60).set("some-key", "v")) == f"set: {message}"
