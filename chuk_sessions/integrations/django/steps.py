"""The life of a Django session: the decisions, without I/O.

Each task is a generator. It yields calls of a session manager, and gets their results. `SessionStore` runs it with the
synchronous or the asynchronous manager, so both decide alike.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any, Final, TypeVar

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError

from ... import (
    CorruptRecordError,
    OutcomeUnknownError,
    ProviderError,
    SessionExistsError,
    SessionMetadata,
    SessionRotatedError,
    session_hash,
)
from ..asgi import OUTAGES
from ..lifecycle import ManagerCall, Steps
from ..snapshot import NO_CHANGES, Changes
from ..values import Values
from .config import config
from .data import SessionData

_MAX_SECONDS: Final = 100 * 366 * 24 * 3600
_AUTH_KEYS: Final = ("_auth_user_id", "_auth_user_backend", "_auth_user_hash")
"""The keys that `django.contrib.auth.login` writes."""

_logger = logging.getLogger("chuk_sessions.integrations")


def call(method: str, *args: Any, **options: Any) -> ManagerCall:
    """Return a call of a manager's method."""
    return ManagerCall(method, args, options)


class SessionSteps(SessionBase):  # type: ignore[misc]
    """A Django session, and generators for what happens to it.

    Attributes:
        outage: the last failure of the store that a method has raised.
        is_unavailable: whether the request is served without its session, because the store failed.
        is_deleted: whether the session was deleted, so that the client must forget its key.
        is_lost: whether the session was gone when it was to get a new key. Its values are not saved any more.
        is_rotated: whether the client must get the session's new key, even if the request fails.
        successor: the key that the session may have got, because a reply was lost. The client then gets both keys.

    """

    _session_key: str | None
    _session_cache: Any

    def __init__(self, session_key: str | None = None) -> None:
        """Create a session with a key from a client, or a new one; nothing is sent."""
        self._ignored = ""
        self._user_id: str | None = None
        self._is_in_doubt = False
        self._user_in_doubt: str | None = None
        self.outage: ProviderError | None = None
        self.is_unavailable = self.is_deleted = self.is_lost = self.is_rotated = False
        self.successor: str | None = None
        super().__init__(session_key)
        self._values = Values(self.serializer())

    @property
    def modified(self) -> bool:
        """Whether the values have changed, also inside of lists and dicts. After False was assigned, since then."""
        if self._is_modified:
            return True
        try:
            changes = self._changes()
        except Exception:
            # A value that cannot be stored was added. The save will raise the error.
            return True
        return bool(changes) and not (self._ignored and self._ignored == _text_of(changes))

    @modified.setter
    def modified(self, is_modified: bool) -> None:
        self._is_modified, self._ignored = is_modified, ""
        if not is_modified:
            with suppress(Exception):  # A value that cannot be stored was added.
                changes = self._changes()
                self._ignored = _text_of(changes) if changes else ""

    @property
    def reference(self) -> str | None:
        """The session's reference, for logs and lists; None before it is created."""
        return session_hash(self.session_key) if self.session_key else None

    def _changes(self) -> Changes:
        data = getattr(self, "_session_cache", None)
        return data.changes() if isinstance(data, SessionData) else NO_CHANGES

    def _load_steps(self, *, must_succeed: bool = False) -> Steps[dict[Any, Any]]:
        self._user_id = None
        found: SessionMetadata | None = None
        if self.session_key is not None:
            try:
                found = yield from self._find_steps()
            except OUTAGES as error:
                if must_succeed or not config().serve_without_session:
                    raise
                _logger.warning("a session cannot be loaded, so a request is served without: %s", error)
                self.is_unavailable = True
                return {}
        data = self._decoded(found)
        if found is None or data is None:
            self._session_key = None
            return {}
        self._user_id = found.user_id
        return data

    def _find_steps(self) -> Steps[SessionMetadata | None]:
        """Return the session, which may have the key of its successor."""
        found: SessionMetadata | None = yield call("load_session", self.session_key)
        if found is None and self.successor is not None:
            found = yield call("load_session", self.successor)
            if found is not None:
                self._session_key, self.successor, self.is_rotated = self.successor, None, True
        return found

    def _decoded(self, found: SessionMetadata | None) -> SessionData | None:
        try:
            return None if found is None else SessionData(self._values, found.custom_metadata)
        except CorruptRecordError:
            _logger.warning("session %s cannot be decoded and counts as none", self.reference)
            return None

    def _data_steps(self) -> Steps[dict[Any, Any]]:
        """Return the values, and load them if necessary."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache = (yield from self._load_steps()) if self.session_key is not None else {}
        values: dict[Any, Any] = self._session_cache
        return values

    def _available_data_steps(self) -> Steps[dict[Any, Any]]:
        """Return the values. If the request is served without its session, try again to load it."""
        data = yield from self._data_steps()
        if self.is_unavailable:
            loaded = yield from self._load_steps(must_succeed=True)
            self.is_unavailable = False
            data = self._session_cache = self._with_changes_of(data, loaded)
        return data

    def _with_changes_of(self, data: dict[Any, Any], loaded: dict[Any, Any]) -> dict[Any, Any]:
        """Return the loaded values, with the changes of the request, unless they are of a user whose login failed."""
        is_in_doubt, self._is_in_doubt = self._is_in_doubt, False
        if is_in_doubt and self._user_id not in (None, self._user_in_doubt):
            return loaded
        return data.applied_to(loaded) if isinstance(data, SessionData) else _updated(loaded, data)

    def _tracked(self) -> SessionData:
        """Return the values as an object that knows those in the store."""
        data = getattr(self, "_session_cache", {})
        if not isinstance(data, SessionData):
            self._session_cache = data = _updated(SessionData(self._values), data)
        return data

    def _age(self) -> float:
        """Return the seconds until the session expires, at most a hundred years. The values must be loaded."""
        return min(float(self.get_expiry_age()), _MAX_SECONDS)

    def _ttl_hours(self) -> float:
        return max(self._age(), 1) / 3600

    def _create_steps(self) -> Steps[None]:
        yield from self._insert_steps(None)
        self.modified = True

    def _insert_steps(self, session_key: str | None, user_id: str | None = None) -> Steps[None]:
        """Create the session with all values. Raises CreateError if there is one with that key."""
        self.accessed = True
        data = _updated(SessionData(self._values), self._tracked())
        self._session_cache = data
        changes = data.changes()
        options = {"user_id": user_id, "ttl_hours": self._ttl_hours(), "custom_metadata": changes.changed}
        try:
            session_key = yield call("allocate_session", session_key, mode="create", **options)
        except SessionExistsError:
            raise CreateError from None
        self._session_key, self.successor, self._user_id = session_key, None, user_id
        self.is_lost = self.is_deleted = False
        if self._age() <= 0:
            yield call("delete_session", session_key)
        data.mark_saved(changes)

    def _save_steps(self, *, must_create: bool = False) -> Steps[None]:
        if self.is_unavailable:
            _logger.warning("changes of a session are dropped, because it could not be loaded")
        elif self.session_key is None:
            yield from self._create_steps()
        elif must_create:
            yield from self._insert_steps(self.session_key)
        else:
            yield from self._data_steps()
            yield from self._update_steps()

    def _update_steps(self) -> Steps[None]:
        """Write what has changed. Raises UpdateError if there is no such session any more."""
        session_key = self.session_key
        if session_key is None or self.is_unavailable:
            raise UpdateError
        data = self._tracked()
        changes = data.changes()
        is_saved = yield self._write(session_key, data, changes)
        if not is_saved:
            raise UpdateError
        data.mark_saved(changes)

    def _write(self, session_key: str, data: SessionData, changes: Changes) -> ManagerCall:
        age = self._age()
        if age <= 0:
            return call("delete_session", session_key)
        if not changes and not data.replaces:
            return call("set_session_ttl", session_key, age / 3600)
        options = {"merge": False} if data.replaces else {"remove": changes.removed}
        return call("update_session_metadata", session_key, changes.changed, ttl_seconds=age, **options)

    def _delete_steps(self, session_key: str | None) -> Steps[None]:
        target = self.session_key if session_key is None else session_key
        if target is not None:
            yield call("delete_session", target)
        if target == self.session_key:
            if self.successor is not None:
                yield call("delete_session", self.successor)
            self._user_id = self.successor = None
            self.is_deleted = True

    def _exists_steps(self, session_key: str | None) -> Steps[bool]:
        found = (yield call("get_session_metadata", session_key)) if session_key else None
        return found is not None

    def _cycle_steps(self) -> Steps[None]:
        yield from self._available_data_steps()
        if self.session_key is None:
            yield from self._create_steps()
        elif (yield from self._rotate_steps()) and self._changes():
            yield from self._update_steps()

    def _rotate_steps(self, **login: Any) -> Steps[bool]:
        """Give the session a new key. Returns False if it is gone: revoked, or another request has rotated it."""
        try:
            new_key = yield call("rotate_session", self.session_key, **login)
        except SessionRotatedError:
            new_key = None
        except OutcomeUnknownError as error:
            if error.session_id is not None:
                self.successor, self.is_rotated = error.session_id, True
                # The session must be loaded again before it is changed.
                self.is_unavailable = self._is_in_doubt = True
                self._user_in_doubt = login.get("user_id", self._user_id)
            raise
        if new_key is None:
            _logger.warning("session %s was revoked or rotated meanwhile; its changes are dropped", self.reference)
            self.is_lost = True
            return False
        self._adopt_key(new_key)
        return True

    def _adopt_key(self, session_key: str) -> None:
        self._session_key, self.successor = session_key, None
        self.is_rotated = self.modified = True

    def _login_steps(self, user_id: str) -> Steps[None]:
        data = yield from self._available_data_steps()
        if self._user_id not in (None, user_id):
            # The store discards the values of another user, who may have left a cart.
            self._keep_auth_keys(data)
        if self.session_key is not None:
            login = {"user_id": user_id, "ttl_hours": self._ttl_hours()}
            if not self.is_lost and (yield from self._rotate_steps(**login)):
                self._user_id = user_id
                return
            self._keep_auth_keys(data)
        yield from self._insert_steps(None, user_id)
        self.modified = True

    def _keep_auth_keys(self, data: dict[Any, Any]) -> None:
        kept = {key: data[key] for key in _AUTH_KEYS if key in data}
        self._session_cache = _updated(SessionData(self._values, {}), kept)


def _text_of(changes: Changes) -> str:
    return json.dumps([changes.changed, changes.removed])


D = TypeVar("D", bound=dict[Any, Any])


def _updated(data: D, values: dict[Any, Any]) -> D:
    data.update(values)
    return data
