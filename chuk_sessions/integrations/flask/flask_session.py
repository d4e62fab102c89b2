"""The session object of a request: `flask.session`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, Final, TypeVar

from flask.sessions import SessionMixin

from ..asgi import OUTAGES
from ..lifecycle import ManagerCall, Steps
from ..session import SyncSession
from ..state import EXPIRY_KEY, SessionOptions

T = TypeVar("T")

PERMANENT_KEY: Final = "_permanent"
"""The key of Flask's `session.permanent`."""
_NOT_LOADED: Final = ""
"""The key of a placeholder in a session that is not loaded. Without it, json.dumps would take the dict for empty."""

_running_loop = asyncio._get_running_loop
_logger = logging.getLogger("chuk_sessions.integrations")


class FlaskSession(SyncSession, SessionMixin):
    """A session during one request. It is loaded when it is first used, so a request that does not use it is free.

    Besides Flask's attributes, it has the methods of `SyncSession`, such as `login`, `logout`, `rotate`,
    `revoke_other_sessions`, `append` and `rate_limit`. They raise a subclass of `chuk_sessions.ProviderError` if the
    store fails. `ChukSessions` turns it into a response with status 503.
    """

    def __init__(
        self,
        manager: Any,
        session_id: str | None = None,
        options: SessionOptions | None = None,
        *,
        permanent: bool = False,
        serve_without: bool = False,
    ) -> None:
        """Create the object; nothing is sent.

        Args:
            manager: the synchronous session manager.
            session_id: the id in the client's cookie, if any.
            options: the settings of the session; those of `SessionOptions` by default.
            permanent: whether the cookie outlives the browser, unless the session says otherwise.
            serve_without: whether the session is empty if the store cannot be read. Otherwise, that raises an error.

        """
        super().__init__(manager=manager, session_id=session_id, options=options or SessionOptions())
        self._permanent = permanent
        self._serves_without = serve_without
        if session_id is not None:
            dict.__setitem__(self, _NOT_LOADED, None)

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser; stored under the key `_permanent`."""
        return bool(self.get(PERMANENT_KEY, self._permanent))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self[PERMANENT_KEY] = bool(value)

    @property
    def new(self) -> bool:  # type: ignore[override]  # the base class has a plain attribute
        """Whether the store has no such session yet."""
        return self.is_new

    @property
    def sid(self) -> str | None:
        """The session's id, a secret, under the name that Flask-Session uses."""
        return self.session_id

    @property
    def can_be_unsaved(self) -> bool:
        """Whether the request may have changed the session."""
        return self._readable and (self.accessed or self._session_id is not None)

    @property
    def sent_value(self) -> str | None:
        """The value of the client's cookie, if any."""
        return self._sent_value

    @property
    def cookie_value(self) -> str | None:
        """The value of the cookie that the client must have; None before the session is created."""
        return self._cookie_value

    @property
    def expires_at(self) -> datetime:
        """The time at which the session expires, by this host's clock."""
        return datetime.now(UTC) + timedelta(seconds=self._remaining())

    @property
    def has_expiry(self) -> bool:
        """Whether the session has a lifetime of its own."""
        return dict.__contains__(self, EXPIRY_KEY)

    def __repr__(self) -> str:
        self._on_read()
        return dict.__repr__(self)

    def _on_use(self) -> None:
        if not self._readable:
            self.load()

    def _run(self, steps: Steps[T]) -> T:
        # In an async view, a thread runs an event loop of its own for this request only.
        return super()._run(steps) if _running_loop() is None else _in_a_thread(super()._run, steps)

    def load(self) -> None:
        """Load the session, if that was not done before."""
        try:
            super().load()
        except OUTAGES as error:
            if not self._serves_without:
                raise
            _logger.warning("a request is served without its session: %s", error)
            self.serve_without()

    def serve_without(self) -> None:
        """Treat the session as empty, if it is not loaded. Changes of it will not be saved."""
        if not self.is_loaded:
            dict.clear(self)
            super().serve_without()

    def _create_steps(self, *, even_if_empty: bool = False) -> Steps[bool]:
        if self._has_values() or even_if_empty:
            return (yield from super()._create_steps(even_if_empty=even_if_empty))
        return True

    def _save_steps(self) -> Steps[bool]:
        if not self._readable:
            return True
        is_saved = yield from super()._save_steps()
        if is_saved and self.modified and self._session_id is not None:
            yield from self._delete_if_empty_steps(self._session_id)
        return is_saved

    def _delete_if_empty_steps(self, session_id: str) -> Steps[None]:
        """Delete the session if its last value was removed, as Flask does, and nobody is logged in."""
        if self._has_values() or self._user_id is not None:
            return
        found = yield ManagerCall("get_session_metadata", (session_id,), {})
        # Another request may have added a value.
        if found is None or found.custom_metadata.keys() <= {PERMANENT_KEY}:
            yield from self._delete_steps()

    def _has_values(self) -> bool:
        return dict.__len__(self) > dict.__contains__(self, PERMANENT_KEY)


def _in_a_thread(function: Callable[[Steps[T]], T], steps: Steps[T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function(steps))
        except BaseException as error:  # for the thread that waits
            errors.append(error)

    thread = Thread(target=copy_context().run, args=(run,), name="chuk-sessions-call")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
