"""Credentials that expire: a thread fetches them, so that a slow token service never blocks an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

from redis.credentials import StreamingCredentialProvider

from .renewal import Renewal


@dataclass(frozen=True, slots=True)
class Token:
    """A user name and a password that expires. It has the methods that redis-py expects of a token.

    Attributes:
        username: the user of the server.
        password: the token. Never shown.
        expires_at: when the server stops accepting it, in seconds since 1970.
        login_seconds: how long a connection that has logged in may stay without a new login; None means until
            the token expires.

    """

    username: str
    password: str = field(repr=False)
    expires_at: float
    login_seconds: float | None = None

    def try_get(self, claim: str) -> str | None:
        """Return the user name for the claim `oid`, as redis-py calls it; None for other claims."""
        return self.username if claim == "oid" else None

    def get_value(self) -> str:
        """Return the password."""
        return self.password

    @property
    def is_expired(self) -> bool:
        """Whether a login with this token would come too late."""
        return time.time() >= self.expires_at


class TokenCredentials(StreamingCredentialProvider):
    """A credential provider for `redis.factory(url, credentials=...)` that fetches tokens and renews them in time.

    A thread calls `fetch`, which may block. Concurrent logins share one fetch. Each new token is sent to the open
    connections of all event loops, so that no connection outlives its login. If a renewal fails, the thread tries again
    after one second, then after increasing delays of up to half a minute. Until the old token expires, logins use it.
    After that, a login fails with the error of `fetch`. The provider works after a fork. Its thread ends when the last
    reference to the provider is gone.
    """

    def __init__(self, fetch: Callable[[], Token]) -> None:
        """Create a provider. It fetches the first token at the first login.

        Args:
            fetch: returns a new token, or raises an error.

        """
        self._renewal = renewal = Renewal(fetch)
        finalize(self, renewal.stop)

    def get_credentials(self) -> tuple[str, str]:
        """Return user name and password. Block while there is no valid token."""
        token = self._renewal.current() or self._renewal.request().result()
        return token.username, token.password

    async def get_credentials_async(self) -> tuple[str, str]:
        """Return user name and password. Wait while there is no valid token."""
        token = self._renewal.current()
        if token is None:
            token = await asyncio.wrap_future(self._renewal.request())
        return token.username, token.password

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        """Call `callback` with each new token with which open connections must log in. It runs in the thread."""
        self._renewal.on_token = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        """Call `callback` with the error of each renewal that fails. It runs in the thread."""
        self._renewal.on_error = callback

    def is_streaming(self) -> bool:
        """Return True: new tokens reach open connections."""
        return True
