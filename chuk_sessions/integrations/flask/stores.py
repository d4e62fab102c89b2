"""The store that an application's configuration names, with the keys of Flask-Session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote, urlencode

from ...settings import from_env

_IN_QUERY: Final = ("db", "protocol", "client_name")


def factory_from(config: Mapping[str, Any]) -> Callable[[], AbstractAsyncContextManager[Any]] | None:
    """Return the provider's factory for `SESSION_REDIS` or `SESSION_REDIS_URL`; None if the environment decides.

    Flask-Session's `SESSION_TYPE = "redis"` without one of these is the Redis provider with the environment's URL, or
    the local server, unless the environment names another provider.

    Raises:
        ValueError: they do not name a store.

    """
    given = config.get("SESSION_REDIS") or config.get("SESSION_REDIS_URL")
    is_redis = config.get("SESSION_TYPE") == "redis" and not from_env().provider_given
    if given is None and not is_redis:
        return None
    from ...providers import redis  # noqa: PLC0415  (other providers do not need it)

    if given is None or isinstance(given, str):
        return redis.factory(given)
    provider = _settings_of(given).get("credential_provider")
    return redis.factory(url_of(given), credentials=provider)


def url_of(client: Any) -> str:
    """Return the URL of the server of a `redis.Redis`. Raises ValueError for other clients."""
    from redis.connection import SSLConnection  # noqa: PLC0415  (only who uses it needs it)

    settings = _settings_of(client)
    is_tls = issubclass(client.connection_pool.connection_class, SSLConnection)
    query = {name: settings[name] for name in _IN_QUERY if settings.get(name) is not None}
    if is_tls:
        query |= {name: value for name, value in settings.items() if name.startswith("ssl_") and value is not None}
    login = ":".join(quote(str(settings.get(name) or ""), safe="") for name in ("username", "password"))
    at = f"{login}@" if login != ":" else ""
    if "path" in settings:
        place = f"unix://{at}{quote(settings['path'])}"
    else:
        host = f"[{settings['host']}]" if ":" in settings["host"] else settings["host"]
        place = f"{'rediss' if is_tls else 'redis'}://{at}{host}:{settings.get('port', 6379)}"
    return f"{place}?{urlencode(query)}"


def _settings_of(client: Any) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if not ("host" in settings or "path" in settings):
        raise ValueError(
            "SESSION_REDIS must be a URL, or a redis.Redis of one server: pass ChukSessions a session_factory instead"
        )
    return settings
