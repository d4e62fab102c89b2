"""Configuration from the environment and from URLs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from chuk_sessions import SessionManager, SessionUnavailableError
from chuk_sessions.backends.redis import url as urls
from chuk_sessions.backends.redis.url import parse, without_secrets
from chuk_sessions.providers import redis
from tests.harness.servers import running, valkey_binary

ROOT = Path(__file__).parents[2]
PASSWORD = "p@ss:w/rd"
QUOTED = "p%40ss%3Aw%2Frd"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("SESSION_PROVIDER", "SESSION_REDIS_URL", "REDIS_URL", "CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID"):
        monkeypatch.delenv(name, raising=False)


class TestSandbox:
    def test_the_argument_takes_precedence_over_the_environment(self, monkeypatch):
        monkeypatch.setenv("CHUK_SANDBOX_ID", "from-env")
        assert SessionManager("given").sandbox_id == "given"

    def test_its_own_variable_takes_precedence_over_the_hosts(self, monkeypatch):
        monkeypatch.setenv("CHUK_HOST_SANDBOX_ID", "host")
        assert SessionManager().sandbox_id == "host"
        monkeypatch.setenv("CHUK_SANDBOX_ID", "own")
        assert SessionManager().sandbox_id == "own"

    def test_is_random_otherwise_and_leaves_the_environment_alone(self, monkeypatch):
        names = {SessionManager().sandbox_id for _ in range(3)}
        assert len(names) == 3
        assert all(re.fullmatch(r"sandbox-[0-9a-f]{8}", name) for name in names)

    def test_is_checked_from_the_environment_too(self, monkeypatch):
        monkeypatch.setenv("CHUK_SANDBOX_ID", "a/b")
        with pytest.raises(ValueError, match="sandbox_id"):
            SessionManager()


class TestNotices:
    """A process logs one line about a configuration that loses sessions."""

    MANAGERS = """
import logging
from chuk_sessions import SessionManager
from chuk_sessions.providers import memory, redis
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
"""

    def lines(self, code, **environment):
        names = {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "CHUK_"))}
        done = subprocess.run(
            [sys.executable, "-c", self.MANAGERS + code],
            env={**names, **environment},
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        return [line for line in done.stderr.splitlines() if "asyncio" not in line and "selector" not in line]

    def test_sessions_in_the_memory_of_this_process(self):
        (line,) = self.lines("SessionManager(); SessionManager()")
        assert line == "INFO SESSION_PROVIDER is not set: sessions live only in the memory of this process"

    def test_a_random_sandbox_in_a_shared_store(self):
        line, *more = self.lines("SessionManager(); SessionManager()", SESSION_PROVIDER="redis")
        assert re.match("WARNING no sandbox_id was given and CHUK_SANDBOX_ID is not set: .* sandbox-[0-9a-f]{8},", line)
        assert not more

    @pytest.mark.parametrize(
        ("code", "environment"),
        [
            ("SessionManager()", {"SESSION_PROVIDER": "memory"}),
            ("SessionManager(session_factory=memory.factory())", {}),
            ("SessionManager('app', redis.factory())", {}),
            ("SessionManager()", {"SESSION_PROVIDER": "redis", "CHUK_SANDBOX_ID": "app"}),
        ],
    )
    def test_an_explicit_configuration_logs_nothing(self, code, environment):
        assert self.lines(code, **environment) == []


def test_attributes_and_stats(monkeypatch):
    manager = SessionManager("app", default_ttl_hours=8)
    assert (manager.sandbox_id, manager.default_ttl_hours) == ("app", 8)
    assert callable(manager.session_factory)
    for name in ("sandbox_id", "default_ttl_hours"):
        with pytest.raises(AttributeError):
            setattr(manager, name, "other")
    stats = manager.get_cache_stats()
    assert (stats["cached_sessions"], stats["sandbox_id"], stats["default_ttl_hours"]) == (0, "app", 8)


class TestUrls:
    async def use(self, url):
        async with SessionManager("test", redis.factory(url)) as manager:
            return await manager.validate_session(await manager.allocate_session())

    async def test_the_environment_is_read_when_the_factory_is_created(self, monkeypatch, server):
        monkeypatch.setenv("REDIS_URL", server.url)
        monkeypatch.setenv("SESSION_PROVIDER", "redis")
        async with SessionManager("test") as manager:
            await manager.allocate_session("s1")
        monkeypatch.setenv("SESSION_REDIS_URL", server.url.replace("/0", "/3"))
        async with SessionManager("test") as manager:
            assert not await manager.validate_session("s1")

    async def test_databases_are_separate(self, server):
        base = server.url.removesuffix("/0")
        for database in ("", "/0", "/5", "?db=6"):
            assert await self.use(base + database)
        with server.client() as client:
            assert {"db0", "db5", "db6"} <= set(client.info("keyspace"))
            client.flushall()

    async def test_unix_sockets(self, server):
        assert await self.use(f"unix://{server.folder}/socket")
        assert await self.use(f"unix://{server.folder}/socket?db=2")

    async def test_users_and_passwords_are_unquoted(self):
        with running(valkey_binary(), password=PASSWORD) as locked:
            base = f"127.0.0.1:{locked.port}/0"
            assert await self.use(f"redis://:{QUOTED}@{base}")
            assert await self.use(f"redis://default:{QUOTED}@{base}")
            assert await self.use(f"unix://:{QUOTED}@{locked.folder}/socket")
            with pytest.raises(SessionUnavailableError, match="password"):
                await self.use(f"redis://{base}")

    @pytest.mark.parametrize(
        "url",
        [
            "", "localhost", "http://localhost", "memcached://x", "redis//x", "unix://", "redis://localhost/0/1",
            "redis://localhost:port", "redis://localhost:99999", "redis://localhost:0", "redis://[::1", f"x://u:{QUOTED}@h",
        ],
    )  # fmt: skip
    def test_the_error_for_an_invalid_url_hides_its_secrets(self, url):
        with pytest.raises(ValueError, match=r"Redis URL") as caught:
            parse(url)
        assert QUOTED not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://user:secret@h:1/0", "redis://***@h:1/0"),
            ("redis://:sec@ret@h:1/0", "redis://***@h:1/0"),
            ("rediss://h?password=secret", "rediss://h"),
            ("unix://u:secret@/path", "unix://***@/path"),
            ("redis://h:1/0", "redis://h:1/0"),
        ],
    )
    def test_secrets_are_hidden(self, url, shown):
        assert without_secrets(url) == shown

    def test_insecure_tls_warns_once(self, monkeypatch):
        monkeypatch.setattr(urls, "_warned", False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                parse("rediss://localhost:6380/0", tls_insecure=True)
        assert [str(warning.message)[:22] for warning in caught] == ["REDIS_TLS_INSECURE=1: "]

    def test_insecure_tls_says_nothing_about_plain_connections(self, monkeypatch):
        monkeypatch.setattr(urls, "_warned", False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert parse("redis://localhost:6380/0", tls_insecure=True).options.tls is None
