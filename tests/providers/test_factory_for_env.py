"""Factories from the environment: the provider's name, and the default TTL."""

from __future__ import annotations

import sys
import types

import pytest

from chuk_sessions import ProviderError, SessionManager, factory_for_env, get_session, providers, session
from chuk_sessions.providers import memory


class TestFactoryForEnv:
    @pytest.mark.parametrize("name", ["memory", "mem", "inmemory", "MEMORY", None])
    async def test_finds_memory_by_its_names(self, monkeypatch, name):
        monkeypatch.delenv("SESSION_PROVIDER", raising=False)
        if name:
            monkeypatch.setenv("SESSION_PROVIDER", name)
        assert factory_for_env().backend.name == "memory"

    @pytest.mark.parametrize("name", ["redis", "redis_store"])
    async def test_finds_redis_by_its_names(self, monkeypatch, server, name):
        monkeypatch.setenv("SESSION_PROVIDER", name)
        monkeypatch.setenv("SESSION_REDIS_URL", server.url)
        async with factory_for_env()() as store:
            await store.setex("k", 60, "v")
        with server.client() as client:
            assert client.get("k") == b"v"

    def test_an_unknown_name_raises_module_not_found_error(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "carrier_pigeon")
        with pytest.raises(ModuleNotFoundError):
            factory_for_env()
        with pytest.raises(ModuleNotFoundError):
            SessionManager("test")

    @pytest.mark.parametrize(
        ("name", "close"), [("reids", "redis"), ("memroy", "memory"), ("redis-store", "redis_store")]
    )
    def test_the_error_lists_the_providers_and_suggests_a_close_name(self, monkeypatch, name, close):
        monkeypatch.setenv("SESSION_PROVIDER", name)
        with pytest.raises(ModuleNotFoundError, match=f"'{name}'. Available are memory, redis. Did you mean '{close}'"):
            factory_for_env()

    def test_the_error_suggests_nothing_for_a_name_like_no_other(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "carrier_pigeon")
        with pytest.raises(ModuleNotFoundError, match=r"Available are memory, redis\.$"):
            factory_for_env()

    def test_the_error_names_a_package_that_the_provider_lacks(self, monkeypatch, tmp_path):
        (tmp_path / "needy.py").write_text("import no_such_package\n")
        monkeypatch.setattr("chuk_sessions.providers.__path__", [*providers.__path__, str(tmp_path)])
        monkeypatch.setenv("SESSION_PROVIDER", "needy")
        with pytest.raises(ModuleNotFoundError, match="no_such_package"):
            factory_for_env()

    @pytest.mark.parametrize("name", ["empty", "values"])
    def test_refuses_a_module_without_a_factory(self, monkeypatch, name):
        monkeypatch.setitem(sys.modules, "chuk_sessions.providers.empty", types.ModuleType("empty"))
        monkeypatch.setenv("SESSION_PROVIDER", name)
        with pytest.raises(AttributeError, match=r"lacks a factory\(\) function"):
            factory_for_env()

    def test_looks_the_factory_up_when_it_is_called(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "memory")
        monkeypatch.setattr("chuk_sessions.providers.memory.factory", lambda: "replaced")
        assert factory_for_env() == "replaced"

    async def test_get_session_opens_a_session_of_the_configured_provider(self, monkeypatch):
        monkeypatch.setenv("SESSION_PROVIDER", "memory")
        assert session is get_session
        async with get_session() as store:
            await store.set("short way", "v")
            assert await store.getdel("short way") == "v"

    async def test_the_error_for_a_missing_package_says_how_to_install_it(self, monkeypatch):
        from chuk_sessions.providers import redis

        for name in [name for name in sys.modules if name.startswith("chuk_sessions.backends.redis")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ProviderError, match=r"pip install 'chuk-sessions\[redis\]'"):
            redis.factory("redis://localhost")


class TestDefaultTtl:
    async def test_is_read_when_the_factory_is_created(self, monkeypatch, server):
        from chuk_sessions.providers import redis

        monkeypatch.setenv("SESSION_DEFAULT_TTL", "7")
        factory = redis.factory(server.url)
        monkeypatch.setenv("SESSION_DEFAULT_TTL", "9")
        async with factory() as store:
            await store.set("k", "v")
        with server.client() as client:
            assert 6000 < client.pttl("k") <= 7000

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "٣"])
    def test_refuses_invalid_values(self, monkeypatch, text):
        monkeypatch.setenv("SESSION_DEFAULT_TTL", text)
        with pytest.raises(ValueError, match="SESSION_DEFAULT_TTL"):
            memory.factory()
