"""Reauthentication: when credentials are renewed, each open connection sends AUTH with the new ones.

redis-py's own reauthentication does not work here, because the connection has taken over redis-py's streams.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from redis.credentials import StreamingCredentialProvider

logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """An owner of open connections."""

    def reauthenticate(self, username: str, password: str) -> None:
        """Send AUTH on all open connections. Thread-safe."""


_SUBSCRIBERS: WeakKeyDictionary[StreamingCredentialProvider, WeakSet[Subscriber]] = WeakKeyDictionary()


def subscribe(provider: object, subscriber: Subscriber) -> None:
    """Reauthenticate the subscriber whenever the provider renews its credentials. Other providers are ignored."""
    if not isinstance(provider, StreamingCredentialProvider):
        return
    subscribers = _SUBSCRIBERS.get(provider)
    if subscribers is None:
        subscribers = _SUBSCRIBERS[provider] = WeakSet()
        provider.on_next(partial(_on_token, subscribers))
        provider.on_error(_on_error)
    subscribers.add(subscriber)


class _Done:
    """An awaitable that is done. Some providers await the result of a callback, others do not."""

    def __await__(self) -> Generator[None]:
        return
        yield


def _on_token(subscribers: WeakSet[Subscriber], token: Any) -> Any:
    for subscriber in list(subscribers):
        subscriber.reauthenticate(token.try_get("oid"), token.get_value())
    return _Done()


def _on_error(error: Exception) -> Any:
    logger.error("the credential provider could not renew the credentials: %s", error)
    return _Done()
