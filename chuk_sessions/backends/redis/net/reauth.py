"""Credentials that are renewed while connections are open: each open connection logs in anew, by a call of its own.

redis-py would do this itself, on streams that are the link's by then.
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
    """Has open connections."""

    def reauthenticate(self, username: str, password: str) -> None:
        """Log in anew on all of them. Called in any thread."""


_SUBSCRIBERS: WeakKeyDictionary[StreamingCredentialProvider, WeakSet[Subscriber]] = WeakKeyDictionary()


def subscribe(provider: object, subscriber: Subscriber) -> None:
    """Have a follower told of new credentials, if the provider is of the kind that has some from time to time."""
    if not isinstance(provider, StreamingCredentialProvider):
        return
    subscribers = _SUBSCRIBERS.get(provider)
    if subscribers is None:
        subscribers = _SUBSCRIBERS[provider] = WeakSet()
        provider.on_next(partial(_renewed, subscribers))
        provider.on_error(_failed)
    subscribers.add(subscriber)


class _Done:
    """Providers await what a callback gives, or do not."""

    def __await__(self) -> Generator[None]:
        return
        yield


def _renewed(subscribers: WeakSet[Subscriber], token: Any) -> Any:
    for subscriber in list(subscribers):
        subscriber.reauthenticate(token.try_get("oid"), token.get_value())
    return _Done()


def _failed(failure: Exception) -> Any:
    logger.error("the credential provider could not renew the credentials: %s", failure)
    return _Done()
