"""Worlds for the contract tests: a backend, a clock that the test advances, and an empty keyspace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from chuk_sessions import Health, SessionManager
from chuk_sessions.backends.base import Backend
from chuk_sessions.backends.custom import CustomBackend
from chuk_sessions.backends.memory import ManualClock, MemoryBackend
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.backends.redis import scripts as redis_scripts
from chuk_sessions.core import ids, keys
from chuk_sessions.core.operation import Call, Reply, RetryCalls
from chuk_sessions.providers.factory import Factory
from chuk_sessions.providers.memory import MemorySession
from chuk_sessions.providers.redis import RedisSession
from tests.harness.farms import ClusterFarm, SentinelFarm
from tests.harness.servers import Server

NOW_KEY = "chuk-test-now"
NOW_FROM_KEY = f"local now = tonumber(redis.call('GET', '{NOW_KEY}'))\n"
# On a cluster, a script may only read its own slot, so each hash tag has a clock.
NOW_FROM_SLOT = f"local now = tonumber(redis.call('GET', '{NOW_KEY}' .. KEYS[1]:match('%b{{}}')))\n"
DEFAULT_TTL = 3600
USER = "tester"

Factories = Callable[[], AbstractAsyncContextManager[Any]]
Before = Callable[[Call], Awaitable[object]]


class Intercepted:
    """A backend that awaits `before` ahead of each call. `before` may act as another client, or raise an error."""

    name = "intercepted"

    def __init__(self, backend: Backend, before: Before) -> None:
        self._backend = backend
        self._before = before
        self.write_hook = backend.write_hook

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        await self._before(call)
        return await self._backend.run(call, retry_calls)

    async def ping(self) -> Health:
        return await self._backend.ping()

    async def aclose(self) -> None:
        """Do nothing: the owner of the wrapped backend closes it."""


class World(ABC):
    """A backend under test. Tests only use this interface, and never check which backend they have."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    @property
    @abstractmethod
    def factory(self) -> Factories:
        """The factory of the provider."""

    @property
    @abstractmethod
    def backend(self) -> Backend:
        """The backend that runs operations."""

    def manager(self, sandbox_id: str = "test", **options: Any) -> SessionManager:
        """Return a manager. Managers share the backend, or have one each, as in production."""
        return SessionManager(sandbox_id, self.factory, **options)

    def intercepted(self, before: Before, **options: Any) -> SessionManager:
        """Return a manager on the same backend that awaits `before` ahead of each call."""
        backend = Intercepted(self.backend, before)
        return SessionManager("test", Factory(backend, lambda: None), **options)  # type: ignore[type-var]

    async def advance(self, **amount: float) -> None:
        """Advance the clock by hours, seconds or ms."""
        self.clock.advance(**amount)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Close the backend."""
        await self.backend.aclose()


class EmulatorWorld(World):
    """The emulator, without its own sweeps: a server has none either."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._backend = MemoryBackend(clock, sweep_interval_ms=None)

    @property
    def backend(self) -> MemoryBackend:
        return self._backend

    @property
    def factory(self) -> Factory[MemorySession]:
        backend = self._backend
        return Factory(backend, lambda: MemorySession(backend.strings, DEFAULT_TTL))


class ServerWorld(World):
    """A real server with the shipped scripts. Only the include for the clock is replaced: it reads a key."""

    now = NOW_FROM_KEY

    def __init__(
        self, clock: ManualClock, server: Server | SentinelFarm | ClusterFarm, rules: Sequence[str] = ()
    ) -> None:
        super().__init__(clock)
        self._server = server
        url = _as_user(server, rules) if rules else server.url
        self._backend = RedisBackend(url, loaded=redis_scripts.load({"now": self.now}))
        server.empty()
        self._set_clock()

    @property
    def backend(self) -> RedisBackend:
        return self._backend

    @property
    def factory(self) -> Factory[RedisSession]:
        backend = self._backend
        return Factory(backend, lambda: RedisSession(backend, DEFAULT_TTL))

    async def advance(self, **amount: float) -> None:
        await super().advance(**amount)
        self._set_clock()

    def _set_clock(self) -> None:
        assert not isinstance(self._server, ClusterFarm)
        with self._server.client() as client:
            client.set(NOW_KEY, self.clock.now_ms())


def _as_user(server: Server | SentinelFarm | ClusterFarm, rules: Sequence[str]) -> str:
    """Create a user with these ACL rules and access to the clock's keys. Return the URL for it."""
    words = ("ACL", "SETUSER", USER, "reset", "on", f">{USER}", f"~{NOW_KEY}*", *rules)
    if isinstance(server, Server):
        with server.client() as client:
            client.execute_command(*words)
    else:
        for member in server.members:
            member.command(*words)
    scheme, _, rest = server.url.partition("://")
    return f"{scheme}://{USER}:{USER}@{rest.rpartition('@')[2]}"


class ClusterWorld(ServerWorld):
    """A cluster."""

    now = NOW_FROM_SLOT

    def __init__(self, clock: ManualClock, farm: ClusterFarm, rules: Sequence[str] = ()) -> None:
        self._farm = farm
        super().__init__(clock, farm, rules)

    def _set_clock(self) -> None:
        self._farm.set_all({f"{NOW_KEY}{{{keys.tag(bucket)}}}": self.clock.now_ms() for bucket in range(ids.BUCKETS)})


class DictSession:
    """A minimal provider session: setex, get, delete and close on a dict."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    async def setex(self, key: str, ttl: int, value: str) -> None:
        assert isinstance(ttl, int)
        assert ttl > 0
        self.values[key] = value

    async def get(self, key: str) -> str | None:
        return self.values.get(key)

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def close(self) -> None:
        pass


class CustomWorld(World):
    """A custom provider, which the emulator's twins run on."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.values: dict[str, str] = {}

    @asynccontextmanager
    async def open(self):
        session = DictSession(self.values)
        try:
            yield session
        finally:
            await session.close()

    @property
    def backend(self) -> CustomBackend:
        """A new backend on each access, because each manager has its own."""
        return CustomBackend(self.open, self.clock)

    @property
    def factory(self) -> Factories:
        return Factory(self.backend, lambda: DictSession(self.values))  # type: ignore[type-var]
