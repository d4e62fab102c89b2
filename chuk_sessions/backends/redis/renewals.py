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


class Follower(Protocol):
    """Has open connections."""

    def renew(self, username: str, password: str) -> None:
        """Log in anew on all of them. Called in any thread."""


_FOLLOWERS: WeakKeyDictionary[StreamingCredentialProvider, WeakSet[Follower]] = WeakKeyDictionary()


def follow(provider: object, follower: Follower) -> None:
    """Have a follower told of new credentials, if the provider is of the kind that has some from time to time."""
    if not isinstance(provider, StreamingCredentialProvider):
        return
    followers = _FOLLOWERS.get(provider)
    if followers is None:
        followers = _FOLLOWERS[provider] = WeakSet()
        provider.on_next(partial(_renewed, followers))
        provider.on_error(_failed)
    followers.add(follower)


class _Done:
    """Providers await what a callback gives, or do not."""

    def __await__(self) -> Generator[None]:
        return
        yield


def _renewed(followers: WeakSet[Follower], token: Any) -> Any:
    for follower in list(followers):
        follower.renew(token.try_get("oid"), token.get_value())
    return _Done()


def _failed(failure: Exception) -> Any:
    logger.error("the credential provider could not renew the credentials: %s", failure)
    return _Done()
