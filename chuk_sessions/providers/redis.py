"""The Redis provider: values on a Redis or Valkey server, a Sentinel deployment, or a cluster."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Unpack

from .. import settings
from ..exceptions import CorruptRecordError, ProviderError
from .factory import Factory
from .values import check_key, check_value, ttl_ms

if TYPE_CHECKING:
    from ..backends.redis.backend import RedisBackend
    from ..backends.redis.settings import ConnectionSettings


class RedisSession:
    """An open session of the provider API; `backends.base.Store` documents its methods."""

    __slots__ = ("_backend", "_default_ttl")

    def __init__(self, backend: RedisBackend, default_ttl: int) -> None:
        self._backend = backend
        self._default_ttl = default_ttl

    async def set(self, key: str, value: str | bytes) -> None:
        """Store a value with the default TTL."""
        await self.setex(key, self._default_ttl, value)

    async def setex(self, key: str, ttl: float, value: str | bytes) -> None:
        """Store a value for `ttl` seconds."""
        await self._backend.command("SET", check_key(key), check_value(value), "PX", ttl_ms(ttl))

    async def get(self, key: str) -> str | None:
        """Return the value, or None."""
        reply, _ = await self._backend.command("GET", check_key(key), read_only=True)
        return _text(reply)

    async def getdel(self, key: str) -> str | None:
        """Delete the value and return it, or None. Of concurrent callers only one gets it.

        Raises OutcomeUnknownError when the reply is lost.
        """
        reply, _ = await self._backend.command("GETDEL", check_key(key), retryable=False)
        return _text(reply)

    async def delete(self, key: str) -> bool:
        """Delete a value. Returns whether there was one, or True if the call was retried after a lost reply."""
        reply, retried = await self._backend.command("DEL", check_key(key))
        return bool(reply) or retried

    async def close(self) -> None:
        """Do nothing: connections are shared and stay open."""


def _text(reply: bytes | None) -> str | None:
    try:
        return None if reply is None else reply.decode()
    except UnicodeDecodeError:
        raise CorruptRecordError("the value under this key is not UTF-8 text") from None


class RedisFactory(Factory[RedisSession]):
    """A callable that opens provider sessions on one store.

    Attributes:
        backend: the store, see `Factory`. Its `stats()` shows the state of the connections.

    """

    backend: RedisBackend

    def __init__(self, backend: RedisBackend, default_ttl: int) -> None:
        super().__init__(backend, lambda: RedisSession(backend, default_ttl))


def factory(url: str | None = None, **options: Unpack[ConnectionSettings]) -> RedisFactory:
    """Return a factory of sessions on the store at `url`, by default that of the environment.

    All factories and managers of a process with the same settings share their connections.

    `backends.redis.url.parse` documents the URLs, and `backends.redis.settings` the options. These can be set here or
    in the environment: connect_timeout, call_timeout, retries, max_in_flight, connections, client_name, wait_replicas,
    wait_timeout. `credentials` is a credential provider of redis-py or of `chuk_sessions.clouds`; SESSION_REDIS_AUTH
    chooses one, and then the URL must have no password. `address_remap` can only be set here.

    Raises ProviderError when the packages of the extra `redis` are missing, and ValueError for a malformed URL or
    option.
    """
    try:
        from ..backends.redis import backend_for  # noqa: PLC0415  (other providers do not need the packages of Redis)
    except ImportError as error:
        raise ProviderError("the Redis provider needs more packages: pip install 'chuk-sessions[redis]'") from error
    env = settings.from_env()
    if env.redis_auth and options.get("credentials") is None:
        options["credentials"] = import_module("..clouds", __package__).from_env()
    backend = backend_for(url or env.redis_url, env.tls_insecure, **options)
    return RedisFactory(backend, env.default_ttl)


__all__ = ["RedisFactory", "RedisSession", "factory"]
