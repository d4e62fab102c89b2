"""The life of a session during a request: the decisions, without I/O.

Each task is a generator. It yields calls of a session manager, and gets their results. `Session` awaits the calls, and
`SyncSession` makes them with a synchronous manager, so both decide alike.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

from .. import OutcomeUnknownError, SessionRotatedError
from .cookies import CookieChange
from .snapshot import NO_CHANGES, Changes
from .state import SessionState

CSRF_KEY: Final = "_csrf"
"""The key of the secret of a session's CSRF tokens. A login removes it."""

_ADOPTED_GRACE: Final = 10.0
"""Seconds for which concurrent requests can use the id that another store has given."""

T = TypeVar("T")


class ManagerCall(NamedTuple):
    """A call of a method of a session manager."""

    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


Steps = Generator[ManagerCall, Any, T]


def _call(method: str, *args: Any, **options: Any) -> ManagerCall:
    return ManagerCall(method, args, options)


class SessionLifecycle(SessionState):
    """A session during one request, and generators for what happens to it.

    The session is created when it is saved with its first value. A save writes the keys that have changed since the
    session was loaded, changes inside lists and dicts included. Other keys stay as other requests have written them. A
    session that was revoked meanwhile is not written again.
    """

    def _load_steps(self) -> Steps[None]:
        if self._must_load:
            new_id = None
            found = yield _call("load_session", self._sent_id)
            if found is None and self._successor is not None:
                new_id = self._successor
                found = yield _call("load_session", new_id)
            # Meanwhile, another task may have loaded it.
            if self._must_load:
                self._adopt(found, new_id)

    def _save_steps(self) -> Steps[bool]:
        if self._is_in_doubt and self._changes():
            yield from self._load_steps()
            if self._is_lost:
                return False
        if self._must_load:
            return self._drop_unloaded()
        if self._session_id is None:
            return (yield from self._create_steps())
        if self._is_adopted and not self._is_sealed:
            self._is_adopted = False
            # Another request may have rotated it already. Its old id still works for the changes of this one.
            yield from self._rotate_steps(_ADOPTED_GRACE)
            if self._is_lost:
                return False
        changes = self._changes() if self.accessed else NO_CHANGES
        ttl = self._ttl()
        moves = self._is_due(changes, ttl)
        if (moves and ttl <= 0) or (self._is_ended and dict.__len__(self) == 0):
            return (yield from self._delete_steps())
        if not (changes or moves or self._is_replaced):
            return True
        is_alive = yield self._write(changes, ttl if moves else None)
        if not is_alive:
            self._lose("was revoked or has expired; its changes are dropped")
            return False
        self._snapshot.apply(changes)
        self._is_replaced = self._is_ended = False
        if moves:
            self._attach(self._session_id, ttl)
        return True

    def _write(self, changes: Changes, ttl: float | None) -> ManagerCall:
        session_id = self._session_id
        if self._is_replaced:
            stored = {key: self._options.values.dump(value) for key, value in dict.items(self)}
            return _call("update_session_metadata", session_id, stored, merge=False, ttl_seconds=ttl)
        if changes:
            changed, removed = changes.changed, changes.removed
            return _call("update_session_metadata", session_id, changed, remove=removed, ttl_seconds=ttl)
        assert ttl is not None
        return _call("set_session_ttl", session_id, ttl / 3600)

    def _create_steps(self, *, even_if_empty: bool = False) -> Steps[bool]:
        if dict.__len__(self) == 0 and not even_if_empty:
            return True
        if self._is_lost and self._is_sealed:
            return False
        self._refuse_if_sealed()
        changes, ttl = self._changes(), self._ttl()
        if ttl <= 0:
            self._cookie = CookieChange(None, int(ttl))
            return True
        session_id = yield _call("allocate_session", ttl_hours=ttl / 3600, custom_metadata=changes.changed)
        self._snapshot.apply(changes)
        self._is_replaced = self._is_ended = False
        self._attach(session_id, ttl)
        return True

    def _delete_steps(self) -> Steps[bool]:
        session_id = self._session_id or (self._sent_id if self._must_load else None)
        for one_id in (session_id, self._successor):
            if one_id is not None:
                yield _call("delete_session", one_id)
        self._must_load, self._readable, self._is_in_doubt = False, True, False
        self.mark_modified()
        self._detach()
        return True

    def _login_steps(self, user_id: str, expires_in: float | timedelta | None) -> Steps[None]:
        yield from self._load_steps()
        self._refuse_if_sealed()
        if self._user_id not in (None, user_id):
            self._forget_values()
        self._is_ended = False
        self.pop(CSRF_KEY, None)
        self.set_expiry(expires_in)
        ttl, session_id = self._ttl(), None
        if self._session_id is not None:
            session_id = yield from self._log_in_steps(self._session_id, user_id, ttl)
            if session_id is None and self._successor is not None:
                session_id = yield from self._log_in_steps(self._successor, user_id, ttl)
            if session_id is None:
                self._lose("was revoked or rotated before the login; its values are dropped")
                self.set_expiry(expires_in)
        if session_id is None:
            changes = self._changes()
            options = {"user_id": user_id, "ttl_hours": ttl / 3600, "custom_metadata": changes.changed}
            session_id = yield _call("allocate_session", **options)
            self._snapshot.apply(changes)
            self._is_replaced = False
        self._user_id = user_id
        self._attach(session_id, ttl)

    def _log_in_steps(self, session_id: str, user_id: str, ttl: float) -> Steps[str | None]:
        successor = self._successor if session_id == self._session_id else None
        try:
            new_id: str | None = yield _call("rotate_session", session_id, user_id=user_id, ttl_hours=ttl / 3600)
            if new_id is not None and successor is not None:
                # An earlier login has left a copy of the session.
                yield _call("delete_session", successor)
        except SessionRotatedError:
            return None
        except OutcomeUnknownError as error:
            self._doubt(session_id, error.session_id, user_id, ttl)
            raise
        return new_id

    def _rotate_steps(self, grace_seconds: float) -> Steps[bool]:
        yield from self._load_steps()
        self._refuse_if_sealed()
        if self._session_id is None:
            return False
        try:
            session_id = yield _call("rotate_session", self._session_id, grace_seconds=grace_seconds)
        except SessionRotatedError:
            # The response to the request that has rotated it carries the new id.
            return False
        except OutcomeUnknownError as error:
            self._doubt(self._session_id, error.session_id, self._user_id, self._remaining())
            raise
        if session_id is None:
            self._lose("was revoked, or another request has rotated it")
            return False
        self._attach(session_id, self._remaining())
        return True
