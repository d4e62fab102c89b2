"""The session object of the integrations: a dict of the session's values, with a login, a logout, and atomic changes.

`Session` is for asynchronous code, `SyncSession` for synchronous code. Both have the same methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from .. import Increment, RateLimit, Transformed
from .lifecycle import Steps
from .shared_values import SharedValues
from .state import DEFAULT_OPTIONS, SessionOptions

T = TypeVar("T")

_running_loop = asyncio._get_running_loop


class Session(SharedValues):
    """A session during one request, for asynchronous code.

    Use it as a dict. Integrations load it before a request and save the keys that have changed before the response.
    All methods raise a subclass of `chuk_sessions.ProviderError` if the store fails.
    """

    async def _run(self, steps: Steps[T]) -> T:
        try:
            call = next(steps)
            if _running_loop() is None:
                raise RuntimeError("sessions need an event loop of asyncio: Trio is not supported")
            while True:
                try:
                    result = await getattr(self._manager, call.method)(*call.args, **call.options)
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    async def load(self) -> None:
        """Load the session of the client's cookie, and record the access. Does nothing if that was done before."""
        await self._run(self._load_steps())

    async def save(self) -> bool:
        """Save the keys that have changed. Integrations do this before the response; call it for later changes.

        Returns False if the changes were dropped, because the session was revoked or has expired.

        Raises:
            RuntimeError: the response has begun, so a new session's cookie cannot be sent.
            InvalidMetadataError: JSON cannot represent a value, and there is no serializer for it.

        """
        return await self._run(self._save_steps())

    async def login(self, user_id: str, *, expires_in: float | timedelta | None = None) -> None:
        """Bind the session to a user, with a new id, which prevents session fixation, and a new lifetime.

        Values stay, unless the session belonged to another user. `expires_in` is the lifetime (seconds or timedelta) if
        it is not the default.
        """
        await self._run(self._login_steps(user_id, expires_in))

    async def logout(self) -> None:
        """Delete the session, its values and its cookie. Values that are set afterwards start a new session."""
        await self._run(self._delete_steps())

    async def rotate(self, *, grace_seconds: float = 0) -> bool:
        """Give the session a new id, as after a change of rights. Returns False if it is new or already rotated.

        Concurrent requests can use the old id for `grace_seconds`; without, they lose their changes.
        """
        return await self._run(self._rotate_steps(grace_seconds))

    async def revoke_other_sessions(self) -> int:
        """Log out the user's other devices: revoke all other sessions of the user, and return how many there were.

        Raises:
            ValueError: no user is logged in.
            RevocationIncompleteError: parts of the store did not answer; it is safe to repeat.

        """
        return await self._run(self._revoke_others_steps())

    async def append(self, key: str, *items: Any, max_bytes: int | None = None) -> int | None:
        """Append to a list in one atomic step, so that concurrent requests lose no item. See
        `SessionManager.append_session_metadata`. This and the following methods save pending changes first, create the
        session if necessary, and return None if it was revoked meanwhile.
        """
        return await self._run(self._append_steps(key, items, max_bytes))

    async def transform(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Transformed | None:
        """Replace a value by `function(value)`, again if another request has changed it meanwhile. See
        `SessionManager.transform_session_metadata`.
        """
        return await self._run(self._transform_steps(key, function, default))

    async def increment(self, key: str, amount: int = 1, *, ceiling: int | None = None) -> Increment | None:
        """Add to a number in one atomic step. See `SessionManager.increment_session_counter`."""
        return await self._run(self._increment_steps(key, amount, ceiling))

    async def rate_limit(
        self, name: str, limit: int, per_seconds: float, *, burst: int | None = None, cost: int = 1
    ) -> RateLimit:
        """Count a request against a rate limit of the session, which refuses all if the session was revoked. See
        `SessionManager.rate_limit_session`.
        """
        return await self._run(self._rate_limit_steps(name, limit, per_seconds, burst, cost))


class SyncSession(SharedValues):
    """A session during one request, for synchronous code. Its methods are those of `Session`, without await."""

    def _run(self, steps: Steps[T]) -> T:
        try:
            call = next(steps)
            while True:
                try:
                    result = getattr(self._manager, call.method)(*call.args, **call.options)
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    def load(self) -> None:
        """Load the session. See `Session.load`."""
        self._run(self._load_steps())

    def save(self) -> bool:
        """Save the keys that have changed. See `Session.save`."""
        return self._run(self._save_steps())

    def login(self, user_id: str, *, expires_in: float | timedelta | None = None) -> None:
        """Bind the session to a user, with a new id and a new lifetime. See `Session.login`."""
        self._run(self._login_steps(user_id, expires_in))

    def logout(self) -> None:
        """Delete the session, its values and its cookie. See `Session.logout`."""
        self._run(self._delete_steps())

    def rotate(self, *, grace_seconds: float = 0) -> bool:
        """Give the session a new id. See `Session.rotate`."""
        return self._run(self._rotate_steps(grace_seconds))

    def revoke_other_sessions(self) -> int:
        """Revoke all other sessions of the user. See `Session.revoke_other_sessions`."""
        return self._run(self._revoke_others_steps())

    def append(self, key: str, *items: Any, max_bytes: int | None = None) -> int | None:
        """Append to a list in one atomic step. See `Session.append`."""
        return self._run(self._append_steps(key, items, max_bytes))

    def transform(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Transformed | None:
        """Replace a value by `function(value)`. See `Session.transform`."""
        return self._run(self._transform_steps(key, function, default))

    def increment(self, key: str, amount: int = 1, *, ceiling: int | None = None) -> Increment | None:
        """Add to a number in one atomic step. See `Session.increment`."""
        return self._run(self._increment_steps(key, amount, ceiling))

    def rate_limit(
        self, name: str, limit: int, per_seconds: float, *, burst: int | None = None, cost: int = 1
    ) -> RateLimit:
        """Count a request against a rate limit of the session. See `Session.rate_limit`."""
        return self._run(self._rate_limit_steps(name, limit, per_seconds, burst, cost))


__all__ = ["DEFAULT_OPTIONS", "Session", "SessionOptions", "SyncSession"]
