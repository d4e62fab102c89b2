"""The Redis provider: values on a Redis or Valkey server, a Sentinel deployment or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from .. import settings
from ..exceptions import ProviderError
from .factory import Factory
from .values import check_key, check_value, ttl_ms

if TYPE_CHECKING:
    from ..backends.redis.backend import RedisBackend
    from ..backends.redis.settings import ConnectionSettings


class RedisSession:
    """One open session of the provider API; `backends.base.Store` says what its methods take and give."""

    __slots__ = ("_backend", "_default_ttl")

    def __init__(self, backend: RedisBackend, default_ttl: int) -> None:
        self._backend = backend
        self._default_ttl = default_ttl

    async def set(self, key: str, value: str | bytes) -> None:
        """Store with the default TTL."""
        await self.setex(key, self._default_ttl, value)

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store for `ttl` seconds."""
        await self._backend.command("SET", check_key(key), check_value(value), "PX", ttl_ms(ttl))

    async def get(self, key: str) -> str | None:
        """The value, or None."""
        reply, _ = await self._backend.command("GET", check_key(key), read_only=True)
        return _text(reply)

    async def getdel(self, key: str) -> str | None:
        """The value, which is gone then: of many callers one has it. When its reply is lost, that is an
        OutcomeUnknownError.
        """
        reply, _ = await self._backend.command("GETDEL", check_key(key), repeatable=False)
        return _text(reply)

    async def delete(self, key: str) -> bool:
        """Whether there was something to delete; True, too, when the first reply was lost."""
        reply, again = await self._backend.command("DEL", check_key(key))
        return bool(reply) or again

    async def close(self) -> None:
        """The connections are shared and stay open."""


def _text(reply: bytes | None) -> str | None:
    try:
        return None if reply is None else reply.decode()
    except UnicodeDecodeError:
        raise ProviderError("the value under this key is not UTF-8 text") from None


class RedisFactory(Factory[RedisSession]):
    """Opens sessions on one store.

    Attributes:
        backend: see `Factory`; its `stats()` shows how the connections are doing.

    """

    backend: RedisBackend

    def __init__(self, backend: RedisBackend, default_ttl: int) -> None:
        super().__init__(backend, lambda: RedisSession(backend, default_ttl))


def factory(url: str | None = None, **options: Unpack[ConnectionSettings]) -> RedisFactory:
    """A factory of sessions on the store at `url`, by default the environment's. All factories and managers of a
    process with the same settings share their connections.

    `backends.redis.url.parse` says what URLs there are, `backends.redis.settings` what else can be set, here or in the
    environment: connect_timeout, call_timeout, retries, max_in_flight, connections, client_name, wait_replicas,
    wait_timeout; and only here credential_provider, which is one of redis-py's, and address_remap.

    Raises ProviderError when the packages of the extra `redis` are missing, ValueError for a URL that cannot be read
    and a setting that cannot be.
    """
    try:
        from ..backends.redis import backend_for  # noqa: PLC0415  (only who asks for Redis needs its packages)
    except ImportError as error:
        raise ProviderError("the Redis provider needs more packages: pip install 'chuk-sessions[redis]'") from error
    env = settings.from_env()
    backend = backend_for(url or env.redis_url, env.tls_insecure, **options)
    return RedisFactory(backend, env.default_ttl)


__all__ = ["RedisFactory", "RedisSession", "factory"]
