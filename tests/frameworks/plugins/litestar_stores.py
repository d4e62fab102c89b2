"""A pytest plugin for Litestar's tests of stores and sessions: its fixtures return this library's classes.

The tests need neither Docker nor a Redis server of their own. CHUK_SANDBOX_ID is the prefix of the stores' sandboxes.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.integrations.litestar import ChukSessionConfig, ChukStore

NUMBERS = itertools.count()

# A module of the tests imports it, and only tests of logging use it. It does not support recent versions of Python.
sys.modules["picologging"] = ModuleType("picologging")


class SuiteStore(ChukStore):
    """A store with a sandbox of its own. Its `_redis` does what the tests do with the client of a RedisStore."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(sandbox_id=f"suite-{next(NUMBERS)}")
        self.namespace = "LITESTAR"

    @property
    def _redis(self) -> Any:
        return SimpleNamespace(expire=self._expire, set=_set_foreign, get=_get_foreign)

    async def _expire(self, key: str, _: int) -> None:
        await self.delete(key.removeprefix(f"{self.namespace}:"))


class SuiteConfig(ChukSessionConfig):
    """The configuration of sessions with the defaults of Litestar's own."""

    def __init__(self) -> None:
        super().__init__(secure=False)


async def _set_foreign(key: str, value: bytes) -> None:
    """Store a value in another sandbox than the store's."""
    metadata = {"value": value.decode()}
    await SessionManager().allocate_session(key, ttl_hours=math.inf, custom_metadata=metadata)


async def _get_foreign(key: str) -> bytes | None:
    session = await SessionManager().get_session_metadata(key)
    return None if session is None else session.custom_metadata["value"].encode()


def _no_docker() -> Any:
    async def start(*_: object, **__: object) -> None:
        pass

    return SimpleNamespace(docker_ip="127.0.0.1", start=start, stop=print)


STORES = ("redis_store", "memory_store", "file_store", "file_store_create_directories")
FIXTURES: dict[str, Callable[[], Any]] = {
    "docker_services": _no_docker,
    "redis_client": SimpleNamespace,
    "file_store_create_directories_flag_false": SuiteStore,
    **dict.fromkeys(STORES, SuiteStore),
}
if os.environ["SESSION_PROVIDER"] == "redis":
    # The clock of a server cannot be shifted, so the tests wait instead.
    FIXTURES["frozen_datetime"] = lambda: SimpleNamespace(shift=time.sleep)
SESSION_FIXTURES = ("server_side_session_config", "session_backend_config_memory")


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: Any) -> Any:
    create = FIXTURES.get(fixturedef.argname)
    if fixturedef.argname in SESSION_FIXTURES and request.path.name == "test_middleware.py":
        create = SuiteConfig
    if create is None:
        return None
    value = create()
    fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
    return value


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    del sys.modules["picologging"]
    # The tests ask which class they have, to handle Redis differently: its clock cannot be frozen.
    for module in {item.module for item in items if isinstance(item, pytest.Function)}:
        if hasattr(module, "RedisStore"):
            module.RedisStore = SuiteStore
        if module.__name__.endswith("test_session.test_middleware"):
            module.ServerSideSessionConfig = SuiteConfig
