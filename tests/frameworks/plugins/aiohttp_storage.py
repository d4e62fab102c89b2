"""A pytest plugin for aiohttp_session's tests of storages: they get this library's storage instead of RedisStorage.

The tests read and write the values of RedisStorage without it. `Records` does the same with this library's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.integrations.aiohttp import ChukStorage

PREFIX = "AIOHTTP_SESSION_"


class SuiteStorage(ChukStorage):
    """The storage with the defaults of aiohttp_session's. Ids may have any form, because the tests choose some."""

    def __init__(self, redis: object = None, *, max_age: int | None = None, key_factory: object = None) -> None:
        super().__init__(max_age=max_age, secure=False)
        self.cookies = replace(self.cookies, accepts=str.isascii)


class Records:
    """The sessions in the form that RedisStorage gives them."""

    def __init__(self) -> None:
        self.manager = SessionManager()

    async def set(self, key: str, text: str) -> None:
        values = json.loads(text)["session"] if text else {}
        await self.manager.allocate_session(key.removeprefix(PREFIX), custom_metadata=values)

    async def get(self, key: str) -> bytes | None:
        session = await self.manager.get_session_metadata(key.removeprefix(PREFIX))
        return None if session is None else json.dumps({"session": session.custom_metadata, "created": 0}).encode()

    async def exists(self, key: str) -> bool:
        return await self.manager.validate_session(key.removeprefix(PREFIX))

    async def ttl(self, key: str) -> float:
        session = await self.manager.load_session(key.removeprefix(PREFIX))
        assert session is not None
        start, end = map(datetime.fromisoformat, (session.last_accessed or "", session.expires_at or ""))
        return (end - start).total_seconds()


@pytest.fixture
def redis() -> Records:
    return Records()


@pytest.fixture
def redis_url() -> str:
    return "redis://localhost"


def pytest_configure(config: pytest.Config) -> None:
    # The fixtures of the tests would take precedence, and need Docker.
    for plugin in config.pluginmanager.get_plugins():
        if getattr(plugin, "__name__", "").endswith("conftest"):
            del plugin.redis, plugin.redis_url


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for module in {item.module for item in items if isinstance(item, pytest.Function)}:
        for name in ("RedisStorage", "SimpleCookieStorage"):
            if hasattr(module, name):
                setattr(module, name, SuiteStorage)
