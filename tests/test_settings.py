"""Configuration: what the environment and URLs say."""

from __future__ import annotations

import re
import warnings

import pytest

from chuk_sessions import SessionManager, SessionUnavailableError
from chuk_sessions.backends.redis import url as urls
from chuk_sessions.backends.redis.url import connection_options, without_secrets
from chuk_sessions.providers import redis
from tests.servers import running, valkey_binary

PASSWORD = "p@ss:w/rd"
QUOTED = "p%40ss%3Aw%2Frd"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("SESSION_PROVIDER", "SESSION_REDIS_URL", "REDIS_URL", "CHUK_SANDBOX_ID", "CHUK_HOST_SANDBOX_ID"):
        monkeypatch.delenv(name, raising=False)


class TestSandbox:
    def test_argument_goes_before_environment(self, monkeypatch):
        monkeypatch.setenv("CHUK_SANDBOX_ID", "from-env")
        assert SessionManager("given").sandbox_id == "given"

    def test_its_own_variable_goes_before_the_hosts(self, monkeypatch):
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


def test_attributes_and_stats_are_there(monkeypatch):
    manager = SessionManager("app", default_ttl_hours=8)
    assert (manager.sandbox_id, manager.default_ttl_hours) == ("app", 8)
    assert callable(manager.session_factory)
    stats = manager.get_cache_stats()
    assert (stats["cached_sessions"], stats["sandbox_id"], stats["default_ttl_hours"]) == (0, "app", 8)


class TestUrls:
    async def use(self, url):
        async with SessionManager("test", redis.factory(url)) as manager:
            return await manager.validate_session(await manager.allocate_session())

    async def test_the_environment_is_read_when_the_factory_is_made(self, monkeypatch, server):
        monkeypatch.setenv("REDIS_URL", server.url)
        monkeypatch.setenv("SESSION_PROVIDER", "redis")
        async with SessionManager("test") as manager:
            await manager.allocate_session("s1")
        monkeypatch.setenv("SESSION_REDIS_URL", server.url.replace("/0", "/3"))
        async with SessionManager("test") as manager:
            assert not await manager.validate_session("s1")

    async def test_databases_are_apart(self, server):
        base = server.url.removesuffix("/0")
        for database in ("", "/0", "/5", "?db=6"):
            assert await self.use(base + database)
        with server.client() as client:
            assert set(client.info("keyspace")) == {"db0", "db5", "db6"}
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
            "", "localhost", "http://localhost", "memcached://x", "redis//x", "unix://", "redis://localhost/zero",
            "redis://localhost:port", "redis://localhost:99999", "redis://localhost:0", "redis://[::1", f"x://u:{QUOTED}@h",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused_without_its_secrets(self, url):
        with pytest.raises(ValueError, match=r"Redis URL") as caught:
            connection_options(url, tls_insecure=False)
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
    def test_secrets_are_left_out(self, url, shown):
        assert without_secrets(url) == shown

    def test_insecure_tls_warns_once(self, monkeypatch):
        monkeypatch.setattr(urls, "_warned", False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                connection_options("rediss://localhost:6380/0", tls_insecure=True)
        assert [str(warning.message)[:22] for warning in caught] == ["REDIS_TLS_INSECURE=1: "]

    def test_insecure_tls_says_nothing_about_plain_connections(self, monkeypatch):
        monkeypatch.setattr(urls, "_warned", False)
        assert "ssl_cert_reqs" not in connection_options("redis://localhost:6380/0", tls_insecure=True)
