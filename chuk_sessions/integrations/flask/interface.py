"""The session interface: opens a request's session, saves it, and sets its cookie."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask.sessions import SessionInterface, SessionMixin, session_json_serializer

from ... import ProviderError
from ...sync import SessionManager
from ..asgi import OUTAGES
from ..cookies import is_acceptable
from ..env import manager_for
from ..state import Refresh, SessionOptions
from ..values import Values
from .flask_session import FlaskSession

if TYPE_CHECKING:
    from flask import Flask, Request, Response

SERVE_WITHOUT = "SESSION_SERVE_WITHOUT_SESSION"
_REFRESH = "SESSION_REFRESH_EACH_REQUEST"
_logger = logging.getLogger("chuk_sessions.integrations")


class ChukSessionInterface(SessionInterface):
    """Flask's sessions in the store of a session manager.

    The configuration is read for each request. The methods `get_cookie_name` and so on may be overridden, as those of
    Flask's own interface.

    Attributes:
        manager: the session manager.
        serializer: for values that JSON does not represent exactly: tuples, bytes, UUIDs, Markup, and times.
        session_class: the class of sessions.

    """

    serializer = session_json_serializer
    session_class = FlaskSession

    def __init__(self, manager: SessionManager | None = None) -> None:
        """Use a session manager, by default a new one with the environment's provider."""
        self.manager = manager_for(SessionManager, manager)
        self._values = Values(self.serializer)
        self._options = SessionOptions(values=self._values)

    def open_session(self, app: Flask, request: Request) -> FlaskSession:
        """Return the session of a request. It is loaded when it is first used."""
        config = app.config
        found = request.cookies.getlist(self.get_cookie_name(app))
        return self.session_class(
            self.manager,
            next(filter(is_acceptable, found), None) if found else None,
            self._options_for(app),
            permanent=config.get("SESSION_PERMANENT", False),
            serve_without=config.get(SERVE_WITHOUT, False),
        )

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        """Save what has changed, and set the cookie, or delete it."""
        is_used, is_failed = session.accessed, False
        if session.can_be_unsaved:
            try:
                session.save()
            except OUTAGES as error:
                is_failed = True
                self._on_outage(app, response, error)
            if self._send_cookie(app, session, response, only_new=is_failed):
                is_used = True
        session.seal()
        if is_used:
            headers = response.headers
            if "Vary" in headers:
                response.vary.add("Cookie")
            else:
                headers["Vary"] = "Cookie"
            headers.setdefault("Cache-Control", "private, no-cache")

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """Return when the cookie expires: with the session, if it is permanent or has a lifetime of its own."""
        assert isinstance(session, FlaskSession)
        return session.expires_at if session.permanent or session.has_expiry else None

    def regenerate(self, session: FlaskSession) -> None:
        """Give the session a new id, under the name that Flask-Session uses. See `FlaskSession.rotate`."""
        session.rotate()

    def _options_for(self, app: Flask) -> SessionOptions:
        lifetime = app.permanent_session_lifetime.total_seconds()
        refresh: Refresh = "on_request" if app.config[_REFRESH] else "on_change"
        options = self._options
        if options.max_age != lifetime or options.refresh != refresh:
            self._options = options = SessionOptions(lifetime, refresh, self._values)
        return options

    def _send_cookie(self, app: Flask, session: FlaskSession, response: Response, *, only_new: bool) -> bool:
        """Set or delete the cookie if that is necessary, and return whether it was. `only_new` keeps a cookie as it is
        unless the session has a new id.
        """
        change = session.cookie
        if change is not None and change.value is None:
            response.delete_cookie(self.get_cookie_name(app), **self._attributes(app))
        elif session.cookie_value is not None and self._must_send(app, session, only_new):
            expires = self.get_expiration_time(app, session)
            value = session.cookie_value
            response.set_cookie(self.get_cookie_name(app), value, expires=expires, **self._attributes(app))
        else:
            return False
        return True

    def _must_send(self, app: Flask, session: FlaskSession, only_new: bool) -> bool:
        if session.cookie_value != session.sent_value:
            return True
        if only_new:
            return False
        if self.should_set_cookie(app, session):
            return True
        return session.cookie is not None and self.get_expiration_time(app, session) is not None

    def _attributes(self, app: Flask) -> dict[str, Any]:
        attributes = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
        }
        # Flask 3.0 has no such setting.
        if get_cookie_partitioned := getattr(self, "get_cookie_partitioned", None):
            attributes["partitioned"] = get_cookie_partitioned(app)
        return attributes

    def _on_outage(self, app: Flask, response: Response, error: ProviderError) -> None:
        if app.config.get(SERVE_WITHOUT):
            _logger.warning("changes of a session are dropped: %s", error)
            return
        failed = app.make_response(app.handle_user_exception(error))
        failed.headers.setdefault("Cache-Control", "no-store")
        replaced = response.response
        response.status, response.headers, response.response = failed.status, failed.headers, failed.response
        if hasattr(replaced, "close"):
            replaced.close()
