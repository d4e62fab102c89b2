"""The state of a session during a request: what the store has, what the client has, and what must happen. No I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from .. import SessionMetadata, session_hash
from .cookies import CookieChange, ids_in, value_of
from .snapshot import IMMUTABLE, NO_CHANGES, Changes, Snapshot
from .tracked import TrackedDict
from .values import Values

EXPIRY_KEY: Final = "_expiry"
"""The key of a session's own lifetime in seconds, if it has one."""

_MAX_SECONDS: Final = 100 * 366 * 24 * 3600
_DUE: Final = 100
"""The deadline moves if it would move by at least the lifetime divided by this, so that few responses set a cookie."""

_logger = logging.getLogger("chuk_sessions.integrations")

Refresh = Literal["on_change", "on_request", "never"]


def _is_duration(seconds: Any) -> bool:
    return type(seconds) in (int, float) and abs(seconds) <= _MAX_SECONDS


@dataclass(frozen=True)
class SessionOptions:
    """The settings of an integration that concern its sessions.

    Attributes:
        max_age: seconds until a session expires. None takes the manager's default, and the cookie then lasts until the
            browser closes. A session with 0 or less expires at once, so it is not stored.
        refresh: when that time starts again: `on_change`, `on_request`, or `never`.
        values: the conversion of values for the store.
        rotate_adopted: give a session that was adopted from another store a new id when it is first saved.

    """

    max_age: float | None = 14 * 24 * 3600
    refresh: Refresh = "on_change"
    values: Values = field(default_factory=Values)
    rotate_adopted: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a malformed setting."""
        if self.max_age is not None and not _is_duration(self.max_age):
            raise ValueError("max_age must be a number of seconds of at most a hundred years, or None")
        if self.refresh not in ("on_change", "on_request", "never"):
            raise ValueError(f"refresh must be 'on_change', 'on_request' or 'never', not {self.refresh!r}")


DEFAULT_OPTIONS: Final = SessionOptions()


class SessionState(TrackedDict):
    """A session during one request: a dict of its values, and what is known about the session."""

    def __init__(
        self,
        data: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        *,
        manager: Any = None,
        session_id: str | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Create the object; nothing is sent.

        Args:
            data: initial values of a new session.
            manager: the session manager, asynchronous or not according to the class.
            session_id: the value of the client's cookie, if any: an id, or two if it is not known whether the session
                has got a new one. The session must then be loaded before it is used.
            options: the settings of the integration.

        """
        super().__init__(data)
        self._manager = manager
        self._options = options
        self._snapshot = Snapshot(options.values, notes_reads=True)
        self._sent_value = session_id
        self._sent_id: str | None
        self._successor: str | None
        self._sent_id, self._successor = (None, None) if session_id is None else ids_in(session_id)
        self._must_load = session_id is not None
        self._readable = not self._must_load
        self._session_id: str | None = None
        self._user_id: str | None = None
        self._lifetime = 0.0
        self._lifetime_at = 0.0
        self._is_replaced = False
        self._is_ended = False
        self._is_in_doubt = False
        self._user_in_doubt: str | None = None
        self._is_lost = False
        self._is_sealed = False
        self._is_adopted = False
        self._cookie: CookieChange | None = None

    @property
    def session_id(self) -> str | None:
        """The session's id, a secret; None before it is created."""
        self._on_use()
        return self._session_id

    @property
    def reference(self) -> str | None:
        """The session's reference, for logs and lists; None before it is created."""
        return session_hash(self._session_id) if self._session_id else None

    @property
    def user_id(self) -> str | None:
        """The user who is logged in, or None."""
        self._on_read()
        return self._user_id

    @property
    def is_new(self) -> bool:
        """Whether the store has no such session yet."""
        self._on_use()
        return self._session_id is None

    @property
    def is_loaded(self) -> bool:
        """Whether the values are known. False after an outage, and before `load` if the client has sent a cookie."""
        return not self._must_load

    @property
    def cookie(self) -> CookieChange | None:
        """The change of the cookie that the client must get, or None."""
        return self._cookie

    @property
    def _cookie_value(self) -> str | None:
        """The value of the cookie that the client must have; None before the session is created."""
        return None if self._session_id is None else value_of(self._session_id, self._successor)

    def set_expiry(self, expires_in: float | timedelta | None) -> None:
        """Let the session expire after this time (seconds or timedelta), counted from the next save, and then from each
        refresh. None restores the default of the integration. With 0 or less, the next save deletes the session.

        Raises:
            ValueError: it is not a duration of at most a hundred years.

        """
        if expires_in is None:
            self.pop(EXPIRY_KEY, None)
            return
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        if not _is_duration(seconds):
            raise ValueError("a session's lifetime must be a number of seconds of at most a hundred years")
        self[EXPIRY_KEY] = seconds

    def pop(self, key: str, /, *default: Any) -> Any:
        """Remove a key and return its value, or the default if there is one."""
        if self._manager is not None:
            # Starlette's tests demand that a missing key is no access, but of an object without a request.
            self._on_read()
        return super().pop(key, *default)

    def clear(self) -> None:
        """Remove all values. If none are added until the save, the session is deleted with its cookie."""
        super().clear()
        self._is_replaced = self._is_ended = True

    def seal(self) -> None:
        """Note that the response has begun, so that no cookie can be sent any more."""
        self._is_sealed = True

    def serve_without(self) -> None:
        """Treat a session that could not be loaded as empty. Changes of it will not be saved."""
        self._readable = True

    def unsaved(self) -> bool:
        """Return whether a save would write something, other than a new deadline."""
        if self._must_load or (self._session_id is not None and not self.accessed):
            return False
        try:
            return bool(self._changes()) or (self._is_replaced and self._session_id is not None)
        except Exception:
            # A value that cannot be stored was added.
            return True

    def _on_use(self) -> None:
        if not self._readable:
            raise RuntimeError("the session is not loaded yet: use `await session.load()` first")

    def _before_read(self, key: str, value: Any) -> None:
        if type(value) not in IMMUTABLE:
            self._snapshot.before_read(key, value)

    def _adopt(self, found: SessionMetadata | None, new_id: str | None = None) -> None:
        """Take over what the store has, perhaps under a new id."""
        is_in_doubt = self._is_in_doubt
        changes = self._changes() if is_in_doubt else NO_CHANGES
        self._must_load, self._readable, self._is_in_doubt = False, True, False
        self._forget_values()
        if found is not None:
            dict.update(self, self._snapshot.load(found.custom_metadata))
            self._user_id = found.user_id
            self._is_adopted = found.adopted and self._options.rotate_adopted
            self._note_lifetime(_seconds_between(found.last_accessed, found.expires_at))
            if new_id is None:
                self._session_id = self._sent_id
            else:
                self._attach(new_id, self._lifetime)
            if found.user_id in (None, self._user_in_doubt):
                self._repeat(changes)
        elif is_in_doubt:
            self._lose("was revoked or has expired; its changes are dropped")

    def _repeat(self, changes: Changes) -> None:
        """Make changes of values again."""
        dict.update(self, changes.values)
        for key in changes.removed:
            dict.pop(self, key, None)

    def _doubt(self, session_id: str, successor: str | None, user_id: str | None, ttl: float) -> None:
        """Note that a reply was lost, so that the session has either its id or the new one. The client gets both ids.
        The session must be loaded again. Its values here are those of the user, who may have logged in.
        """
        if successor is not None:
            self._session_id = self._sent_id = session_id
            self._successor, self._user_in_doubt = successor, user_id
            self._must_load = self._is_in_doubt = True
            self._send_cookie(max(ttl, self._remaining()))

    def _forget_values(self) -> None:
        dict.clear(self)
        self._snapshot = Snapshot(self._options.values, notes_reads=True)
        self._is_replaced = self._is_ended = False

    def _changes(self) -> Changes:
        # dict.copy would call the methods that note reads.
        return self._snapshot.compare(dict(dict.items(self)))

    def _refuse_if_sealed(self) -> None:
        if self._is_sealed:
            raise RuntimeError("the response has begun, so the client cannot get the cookie of a new session or id")

    def _drop_unloaded(self) -> bool:
        """Drop changes of a session that could not be loaded. Return whether there were none."""
        if dict.__len__(self) == 0:
            return True
        _logger.warning("changes of a session are dropped, because it could not be loaded")
        return False

    def _lose(self, reason: str) -> None:
        _logger.warning("session %s %s", self.reference, reason)
        self._detach()
        self._is_lost = True

    def _detach(self) -> None:
        self._forget_values()
        self._session_id = self._user_id = self._successor = None
        self._cookie = CookieChange(None) if self._sent_value is not None else None

    def _attach(self, session_id: str, ttl: float) -> None:
        if session_id != self._session_id:
            self._successor = None
        self._session_id, self._is_lost = session_id, False
        self._note_lifetime(ttl)
        self._send_cookie(ttl)

    def _send_cookie(self, ttl: float) -> None:
        is_browsers = self._options.max_age is None and not dict.__contains__(self, EXPIRY_KEY)
        self._cookie = CookieChange(self._cookie_value, None if is_browsers else int(ttl))

    def _note_lifetime(self, seconds: float) -> None:
        self._lifetime, self._lifetime_at = seconds, time.monotonic()

    def _remaining(self) -> float:
        return self._lifetime - (time.monotonic() - self._lifetime_at)

    def _ttl(self) -> float:
        """Return the lifetime in seconds that a new deadline gives the session."""
        seconds = dict.get(self, EXPIRY_KEY)
        if not _is_duration(seconds):
            seconds = self._options.max_age
        return float(self._manager.default_ttl_hours * 3600 if seconds is None else seconds)

    def _is_due(self, changes: Changes, ttl: float) -> bool:
        """Return whether the save must move the deadline."""
        if EXPIRY_KEY in changes.changed or EXPIRY_KEY in changes.removed:
            return True
        refresh = self._options.refresh
        if refresh == "never" or (refresh == "on_change" and not changes and not self._is_replaced):
            return False
        return abs(ttl - self._remaining()) >= abs(ttl) / _DUE


def _seconds_between(start: str | None, end: str | None) -> float:
    """Return the seconds between two times of a session. Both are the store's: this host's clock does not matter."""
    if start is None or end is None:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
