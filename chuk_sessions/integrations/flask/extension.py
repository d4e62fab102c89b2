"""The extension: it reads an application's configuration, and installs the session interface."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, session
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from ... import ProviderError
from ...sync import SessionManager
from ..asgi import OUTAGES
from ..env import manager_for
from .flask_session import FlaskSession
from .interface import ChukSessionInterface
from .stores import factory_from

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

_RETRY_AFTER: Final = 5
_IGNORED: Final = {
    "SESSION_USE_SIGNER": "ids are random, so a signature adds nothing",
    "SESSION_ID_LENGTH": "all ids have the same length",
    "SESSION_SERIALIZATION_FORMAT": "values are stored as JSON",
    "SESSION_CLEANUP_N_REQUESTS": "the store expires sessions",
}
_TYPES: Final = (None, "null", "redis", "chuk")
_NO_EFFECT: Final = "the setting %s has no effect: %s"
_logger = logging.getLogger("chuk_sessions.integrations")


class ChukSessions:
    """An extension that keeps the sessions of Flask applications in a store.

    Besides Flask's own keys (`SESSION_COOKIE_*`, `PERMANENT_SESSION_LIFETIME`, `SESSION_REFRESH_EACH_REQUEST`), the
    configuration has these. Most have the names of Flask-Session:

    - `SESSION_REDIS_URL`: the URL of the store. `SESSION_REDIS` may be a `redis.Redis` instead, whose server is used.
      Without both, the environment names the store; if it names none, `SESSION_TYPE = "redis"` is the local server.
      Other types are ignored.
    - `SESSION_KEY_PREFIX`: the sandbox, without colons at the end.
    - `SESSION_PERMANENT`: whether cookies outlive the browser. False by default, as in Flask.
    - `SESSION_SERVE_WITHOUT_SESSION`: whether requests get an empty session during an outage, and lose its changes. By
      default, clients get status 503. They keep their sessions in both cases.

    Attributes:
        manager: the manager that was given, or None.

    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        manager: SessionManager | None = None,
        session_factory: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        """Create the extension, for one application or for those that `init_app` gets.

        Args:
            app: the application.
            manager: the session manager; by default, each application gets its own.
            session_factory: the factory of the provider for such managers; by default the configuration's.

        Raises:
            ValueError: there are both a manager and a factory, or the configuration is malformed.

        """
        self.manager = manager
        self._factory = session_factory
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Let an application use these sessions. Nothing is sent.

        `app.extensions["chuk_sessions"]` is then the session manager. Cookies get `SameSite=Lax` if the configuration
        does not say otherwise at a later time. If no handler of the application does, one turns errors of the store
        into responses with status 503.

        Raises:
            ValueError: the configuration is malformed.

        """
        manager = self._manager_for(app.config)
        app.extensions["chuk_sessions"] = manager
        app.session_interface = ChukSessionInterface(manager)
        if app.config["SESSION_COOKIE_SAMESITE"] is None:
            app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
        app.error_handler_spec[None][None].setdefault(ProviderError, _unavailable)

    def _manager_for(self, config: Mapping[str, Any]) -> SessionManager:
        for key, reason in _IGNORED.items():
            if config.get(key):
                _logger.warning(_NO_EFFECT, key, reason)
        if config.get("SESSION_TYPE") not in _TYPES:
            _logger.warning(_NO_EFFECT, "SESSION_TYPE", "SESSION_REDIS_URL, or the environment, names the store")
        if self.manager is not None:
            return self.manager
        factory = self._factory or factory_from(config)
        prefix = config.get("SESSION_KEY_PREFIX")
        sandbox_id = prefix.rstrip(":") if prefix else None
        return manager_for(SessionManager, session_factory=factory, sandbox_id=sandbox_id)


def _unavailable(error: ProviderError) -> ResponseReturnValue | HTTPException:
    if not isinstance(error, OUTAGES):
        raise error
    _logger.error("a request is refused, because the session store failed: %s", error)
    if isinstance(session, FlaskSession):
        # A page for the error may use the session.
        session.serve_without()
    return current_app.handle_http_exception(
        ServiceUnavailable("The session store is unavailable.", retry_after=_RETRY_AFTER)
    )
