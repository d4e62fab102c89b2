"""Logging of connections: one line for each event, no flood, no secret."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis.net import connection_log
from chuk_sessions.exceptions import ProviderError, SessionUnavailableError
from tests.conftest import bundled
from tests.harness.farms import Proxy, cluster_farm, wait_for
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, manager_on, until, until_it_works, works

PASSWORD = "s3cret-word"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Return what connections log, at any level. Afterwards, assert that it contains no password."""
    with caplog.at_level(logging.DEBUG, "chuk_sessions"):
        yield (found := _Lines(caplog))
    assert PASSWORD not in str(found)


class _Lines(list[str]):
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self._caplog = caplog

    def __iter__(self) -> Iterator[str]:
        records = self._caplog.records
        return iter([f"{one.levelname} {one.message}" for one in records if "connection_log" in one.name])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __str__(self) -> str:
        return "\n".join(self)


async def test_a_killed_server_is_one_line_and_its_recovery_another(own_server: Server, lines: list[str]):
    async with backend_on(own_server.url, connections=3, call_timeout=0.5) as backend:
        await asyncio.gather(*(works(backend) for _ in range(10)))
        assert not lines
        own_server.kill()
        await until(lambda: lines)
        assert list(lines) == [f"WARNING the connection to 127.0.0.1:{own_server.port} was lost: {_reason(lines)}"]
        for _ in range(3):
            with pytest.raises(ProviderError):
                await backend.client.run((b"ECHO", b"x"), "echo", False)
        assert len(lines) == 1
        own_server.restart()
        await until_it_works(backend)
        _, restored = lines
        assert restored.startswith(f"INFO the connection to 127.0.0.1:{own_server.port} was restored after ")
    assert len(lines) == 2


def _reason(lines: list[str]) -> str:
    return next(iter(lines)).rpartition(" was lost: ")[2]


async def test_a_server_that_was_never_there_is_one_line(own_server: Server, lines: list[str]):
    own_server.kill()
    async with backend_on(own_server.url, call_timeout=0.4) as backend:
        for _ in range(2):
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"x")
        (line,) = lines
        assert line.startswith(f"WARNING no connection to 127.0.0.1:{own_server.port}: ")
        own_server.restart()
        await until_it_works(backend)
        assert len(lines) == 2


async def test_a_refused_login_is_one_line_until_one_succeeds(own_server: Server, lines: list[str]):
    def require(password: str) -> None:
        with own_server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "reset", "on", f">{password}", "~*", "+@all")

    require("another")
    async with backend_on(f"redis://app:{PASSWORD}@127.0.0.1:{own_server.port}") as backend:
        for _ in range(3):
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"x")
        (line,) = lines
        assert line.startswith(f"WARNING the server at 127.0.0.1:{own_server.port} refused the login: WRONGPASS")
        require(PASSWORD)
        await until_it_works(backend)
        assert len(lines) == 2
        require("another")
        with own_server.client() as client:
            client.execute_command("CLIENT", "KILL", "USER", "app")
        await until(lambda: len(lines) == 3)
        for _ in range(3):
            with pytest.raises(SessionUnavailableError):
                await echo(backend, b"x")
        *_, last = lines
        assert last.startswith(f"WARNING the server at 127.0.0.1:{own_server.port} refused the login: WRONGPASS")
        assert len(lines) == 4


async def test_connections_that_keep_breaking_do_not_flood_the_log(own_server: Server, lines: list[str]):
    with Proxy(own_server.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
            for _ in range(20):
                await echo(backend, b"x")
                proxy.cut()
                await until(lambda: backend.stats().connections == 0)
            assert backend.stats().reconnects == 19
    assert len(lines) == 2


async def test_an_outage_is_logged_although_an_unused_connection_was_lost_long_before(
    own_server: Server, lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection_log, "_QUIET_SECONDS", 0.05)
    async with backend_on(own_server.url, call_timeout=0.5) as backend:
        await echo(backend, b"x")
        await echo(backend, b"x" * (1 << 17))
        with own_server.client() as client:
            newest = max(int(one["id"]) for one in client.client_list() if one["name"] == "chuk-sessions")
            client.client_kill_filter(_id=str(newest))
        await until(lambda: len(lines) == 1)
        await asyncio.sleep(0.1)
        assert backend.stats().connections == 1
        own_server.kill()
        await until(lambda: backend.stats().connections == 0)
        _, lost = lines
        assert lost.startswith(f"WARNING the connection to 127.0.0.1:{own_server.port} was lost: ")


async def test_closing_is_not_logged(own_server: Server, lines: list[str]):
    async with backend_on(own_server.url) as backend:
        await works(backend)
    backend = RedisBackend(own_server.url)
    await works(backend)
    await backend.aclose()
    await works(backend)
    await backend.aclose()
    assert not lines


async def test_a_node_of_a_cluster_that_is_down_is_one_line(lines: list[str]):
    with cluster_farm(bundled(), replicas=False) as farm:
        async with backend_on(farm.url, call_timeout=0.5) as backend:
            manager = manager_on(backend)
            await asyncio.gather(*(manager.allocate_session() for _ in range(50)))
            assert not lines
            farm.members[1].server.kill()
            await asyncio.gather(*(manager.allocate_session() for _ in range(50)), return_exceptions=True)
            (line,) = lines
            assert line.startswith(f"WARNING the connection to 127.0.0.1:{farm.members[1].port} was lost: ")
            await asyncio.to_thread(farm.members[1].server.restart)
            await asyncio.to_thread(wait_for, farm.members[1].client.ping, "an answer")
            await asyncio.gather(*(manager.allocate_session() for _ in range(50)), return_exceptions=True)
            await until(lambda: len(lines) == 2)


async def test_the_last_error_has_a_time_and_is_cleared_by_recovery(own_server: Server):
    async with backend_on(own_server.url, call_timeout=0.4) as backend:
        await works(backend)
        assert (backend.stats().last_error, backend.stats().last_error_at) == (None, None)
        before = datetime.now(UTC)
        own_server.kill()
        await until(lambda: backend.stats().last_error)
        with pytest.raises(SessionUnavailableError):
            await echo(backend, b"x")
        stats = backend.stats()
        assert stats.last_error
        assert stats.last_error_at is not None
        assert before - timedelta(seconds=0.1) <= stats.last_error_at <= datetime.now(UTC)
        own_server.restart()
        await until_it_works(backend)
        assert (backend.stats().last_error, backend.stats().last_error_at) == (None, None)


async def test_a_hung_connection_is_one_line(own_server: Server, lines: list[str]):
    async with backend_on(own_server.url, call_timeout=0.3) as backend:
        await works(backend)
        own_server.signal(signal.SIGSTOP)
        with pytest.raises(SessionUnavailableError):
            await echo(backend, b"x")
        own_server.signal(signal.SIGCONT)
        await until_it_works(backend)
        lost, _ = lines
        assert lost == f"WARNING the connection to 127.0.0.1:{own_server.port} was lost: no reply in time"
