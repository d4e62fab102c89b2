"""The session store of the Django integration: SESSION_ENGINE is `chuk_sessions.integrations.django`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.utils.asyncio import async_unsafe

from ... import Increment, NotSupportedError, RateLimit, Transformed, sync
from ..asgi import OUTAGES
from ..lifecycle import Steps
from .atomic import AtomicSteps
from .config import config

T = TypeVar("T")


@async_unsafe(  # type: ignore[untyped-decorator]
    "A session cannot be loaded or saved here, because that would block the event loop: use its async methods."
)
def _blocking_manager() -> sync.SessionManager:
    return config().manager


class SessionStore(AtomicSteps):
    """A session of Django in a `chuk_sessions.SessionManager`.

    It behaves like Django's own stores, and besides: a save writes only the keys that have changed, changes inside of
    lists and dicts included, so concurrent requests do not undo each other's changes. A login gives the session a new
    key and an owner. The methods whose names begin with `a` are for asynchronous code; both kinds can be mixed.

    Failures of the store raise a subclass of `chuk_sessions.ProviderError`.
    """

    def _run(self, steps: Steps[T]) -> T:
        try:
            call = next(steps)
            manager = _blocking_manager()
            while True:
                try:
                    result = getattr(manager, call.method)(*call.args, **call.options)
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value
        except OUTAGES as error:
            self.outage = error
            raise

    async def _arun(self, steps: Steps[T]) -> T:
        try:
            call = next(steps)
            manager = config().async_manager
            while True:
                try:
                    result = await getattr(manager, call.method)(*call.args, **call.options)
                except Exception as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value
        except OUTAGES as error:
            self.outage = error
            raise

    # Django's methods.

    def load(self) -> dict[Any, Any]:
        """Return the values in the store, and record the access. An unknown key is dropped: the result is empty."""
        return self._run(self._load_steps())

    async def aload(self) -> dict[Any, Any]:
        """Return the values in the store. See `load`."""
        return await self._arun(self._load_steps())

    def exists(self, session_key: str | None) -> bool:
        """Return whether there is a session with this key. This is no access."""
        return self._run(self._exists_steps(session_key))

    async def aexists(self, session_key: str | None) -> bool:
        """Return whether there is a session with this key. See `exists`."""
        return await self._arun(self._exists_steps(session_key))

    def create(self) -> None:
        """Create a session with the present values, and with a new key from the library."""
        self._run(self._create_steps())

    async def acreate(self) -> None:
        """Create a session with a new key. See `create`."""
        await self._arun(self._create_steps())

    def save(self, must_create: bool = False) -> None:
        """Write the keys that have changed, and move the deadline. Without a key, create the session.

        Args:
            must_create: create the session with its present key.

        Raises:
            CreateError: `must_create` was given, and there is a session with that key.
            UpdateError: the session was deleted or has expired. It is not created again.

        """
        self._run(self._save_steps(must_create=must_create))

    async def asave(self, must_create: bool = False) -> None:
        """Write the keys that have changed. See `save`."""
        await self._arun(self._save_steps(must_create=must_create))

    def delete(self, session_key: str | None = None) -> None:
        """Delete this session, or the one with that key. Does nothing if there is none."""
        self._run(self._delete_steps(session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        """Delete this session, or the one with that key. See `delete`."""
        await self._arun(self._delete_steps(session_key))

    def cycle_key(self) -> None:
        """Give the session a new key, and keep its values. The old key is invalid at once.

        A session that is gone keeps its key: it is not created again, and its save raises UpdateError.
        """
        self._run(self._cycle_steps())

    async def acycle_key(self) -> None:
        """Give the session a new key. See `cycle_key`."""
        await self._arun(self._cycle_steps())

    @classmethod
    def clear_expired(cls) -> None:
        """Remove what is left of expired sessions. `manage.py clearsessions` calls this."""
        try:
            _blocking_manager().cleanup_expired_sessions()
        except NotSupportedError:
            # A custom provider without indexes: nothing is left of expired sessions.
            return

    @classmethod
    async def aclear_expired(cls) -> None:
        """Remove what is left of expired sessions. See `clear_expired`."""
        try:
            await config().async_manager.cleanup_expired_sessions()
        except NotSupportedError:
            return

    # The library's methods.

    @property
    def user_id(self) -> str | None:
        """The owner, who has logged in; None without one. In asynchronous code, load the session before."""
        return self._run(self._user_steps())

    def login(self, user_id: str) -> None:
        """Bind the session to a user, with a new key and a new lifetime. `django.contrib.auth.login` leads to this.

        The values stay, unless the session belonged to another user.

        Raises:
            SessionLimitError: the user has as many sessions as allowed, and `when_full` is `"refuse"`.

        """
        self._run(self._login_steps(user_id))

    async def alogin(self, user_id: str) -> None:
        """Bind the session to a user. See `login`."""
        await self._arun(self._login_steps(user_id))

    def revoke_other_sessions(self) -> int:
        """Log out the user's other devices: revoke all other sessions of the user, and return how many there were.

        Raises:
            ValueError: no user is logged in.
            RevocationIncompleteError: parts of the store did not answer; it is safe to repeat.

        """
        return self._run(self._revoke_others_steps())

    async def arevoke_other_sessions(self) -> int:
        """Revoke all other sessions of the user. See `revoke_other_sessions`."""
        return await self._arun(self._revoke_others_steps())

    def append(self, key: Any, *items: Any, max_bytes: int | None = None) -> int | None:
        """Append to a list in one atomic step, so that concurrent requests lose no item.

        This and the following methods save pending changes first, create the session if necessary, and return None if
        it was revoked meanwhile. The methods of SessionManager with these names describe their arguments and results.
        """
        return self._run(self._append_steps(key, items, max_bytes))

    async def aappend(self, key: Any, *items: Any, max_bytes: int | None = None) -> int | None:
        """Append to a list in one atomic step. See `append`."""
        return await self._arun(self._append_steps(key, items, max_bytes))

    def transform(self, key: Any, function: Callable[[Any], Any], default: Any = None) -> Transformed | None:
        """Replace a value by `function(value)`, again if another request has changed it meanwhile."""
        return self._run(self._transform_steps(key, function, default))

    async def atransform(self, key: Any, function: Callable[[Any], Any], default: Any = None) -> Transformed | None:
        """Replace a value by `function(value)`. See `transform`."""
        return await self._arun(self._transform_steps(key, function, default))

    def increment(self, key: Any, amount: int = 1, *, ceiling: int | None = None) -> Increment | None:
        """Add to a number in one atomic step."""
        return self._run(self._increment_steps(key, amount, ceiling))

    async def aincrement(self, key: Any, amount: int = 1, *, ceiling: int | None = None) -> Increment | None:
        """Add to a number in one atomic step. See `increment`."""
        return await self._arun(self._increment_steps(key, amount, ceiling))

    def rate_limit(self, name: str, limit: int, per_seconds: float, **options: Any) -> RateLimit | None:
        """Count a request against a rate limit of the session. The options are `burst` and `cost`."""
        return self._run(self._rate_limit_steps(name, limit, per_seconds, options))

    async def arate_limit(self, name: str, limit: int, per_seconds: float, **options: Any) -> RateLimit | None:
        """Count a request against a rate limit of the session. See `rate_limit`."""
        return await self._arun(self._rate_limit_steps(name, limit, per_seconds, options))
