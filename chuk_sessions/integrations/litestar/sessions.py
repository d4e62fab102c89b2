"""Sessions for Litestar, in which concurrent requests do not overwrite each other's changes."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, cast

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import ImproperlyConfiguredException
from litestar.middleware.base import DefineMiddleware
from litestar.middleware.session.base import BaseBackendConfig, BaseSessionBackend, SessionMiddleware
from litestar.serialization import decode_json, default_serializer, encode_json
from litestar.types import Empty, Message, Receive, Scope, Scopes, Send, TypeEncodersMap

from ... import ProviderError, SessionManager
from .. import asgi
from ..session import Session
from ..state import Refresh
from ..upserts import SessionFactory

_KEY: Final = "chuk_sessions.session"
"""The key of the session object in the scope. `request.set_session` replaces `scope["session"]`."""
_UNAVAILABLE: Final = {"status_code": 503, "detail": "The session store is unavailable. Try again later."}

Connection = ASGIConnection[Any, Any, Any, Any]


class ChukSessionBackend(BaseSessionBackend["ChukSessionConfig"]):
    """The backend that `ChukSessionConfig` configures. Litestar's test clients and session commands use it directly."""

    def get_session_id(self, connection: Connection) -> str | None:
        """Return the id of the connection's session, or None before it is created."""
        session: Session | None = cast(dict[str, Any], connection.scope).get(_KEY)
        return session.session_id if session is not None and session.is_loaded else None

    async def load_from_connection(self, connection: Connection) -> dict[str, Any]:
        """Return the session of a connection. Raises a subclass of ProviderError if the store fails."""
        sessions, scope = self.config.sessions, cast(dict[str, Any], connection.scope)
        cookie = connection.cookies.get(sessions.cookies.full_name, "")
        session_id = cookie if sessions.cookies.accepts(cookie) else None
        scope[_KEY] = session = Session(manager=sessions.manager, session_id=session_id, options=sessions.options)
        await session.load()
        return session

    async def store_in_message(self, scope_session: Any, message: Message, connection: Connection) -> None:
        """Save the session, and add its cookie to the message. Raises as `load_from_connection` does."""
        scope = cast(dict[str, Any], connection.scope)
        if _KEY not in scope:
            await self.load_from_connection(connection)
        session = self.config.take_over(scope, scope_session)
        await session.save()
        if session.cookie is not None:
            header = self.config.sessions.cookies.header(session.cookie)
            cast(dict[str, Any], message).setdefault("headers", []).append((b"set-cookie", header.encode("ascii")))


class ChukSessionMiddleware(SessionMiddleware[ChukSessionBackend]):
    """The middleware that `ChukSessionConfig.middleware` adds. It serves WebSockets as well."""

    def __init__(self, app: Any, backend: ChukSessionBackend) -> None:
        super().__init__(app, backend)
        self._sessions = copy(backend.config.sessions)
        self._sessions.app = self._run_application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        await self._sessions(cast(Any, scope), cast(Any, receive), cast(Any, send))

    async def _run_application(self, scope: Any, receive: Any, send: Any) -> None:
        scope[_KEY] = scope["session"]
        connection: Connection = ASGIConnection(scope, receive=receive, send=send)
        connection._connection_state.session_id = self.backend.get_session_id(connection)

        async def take_over_and_send(message: Message) -> None:
            session = self.backend.config.take_over(scope, scope.get("session"))
            if session.is_loaded and not session.is_new:
                # Litestar encodes a session that a handler returns without calling its methods. So that no cache keeps
                # a response with values of the session, each response to a client with a session counts as one.
                session.mark_accessed()
            await send(message)

        await self.app(scope, receive, take_over_and_send)


@dataclass
class ChukSessionConfig(BaseBackendConfig[ChukSessionBackend]):
    """The configuration of sessions. Its fields are those of Litestar's own session backends, and further ones.

    Sessions are in the sandbox of `manager`, an asynchronous session manager. Without one, a new one is created with
    `session_factory` and `sandbox_id`, by default the environment's; the sandbox is else `web`.

    Attributes:
        key: the cookie's name. Where browsers allow it (`secure`, the path `/` and no domain), it gets the prefix
            `__Host-`, unless `host_prefix` is False.
        max_age: seconds until a session expires. None takes the manager's default, and the cookie lasts until the
            browser closes.
        refresh: when that time starts again: `on_change`, `on_request`, or `never`.
        scopes, exclude, exclude_opt_key: which connections have a session, as with Litestar's own backends.
        path, domain, secure, httponly, samesite: attributes of the cookie.
        partitioned: whether the cookie is kept apart for each site that embeds this one.
        serve_without_session: during an outage, handlers get an empty session, whose changes are dropped. Without this,
            clients get status 503.
        type_encoders: functions for the types that Litestar cannot encode as JSON. Values that JSON would change are
            stored as Litestar encodes them, so a UUID comes back as text.

    """

    _backend_class = ChukSessionBackend

    key: str = "session"
    max_age: int | None = 14 * 24 * 3600  # type: ignore[assignment]
    refresh: Refresh = "on_change"
    scopes: Scopes = field(default_factory=lambda: {ScopeType.HTTP, ScopeType.WEBSOCKET})
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    httponly: bool = True
    samesite: Literal["lax", "strict", "none"] = "lax"
    exclude: str | list[str] | None = None
    exclude_opt_key: str = "skip_session"
    partitioned: bool = False
    host_prefix: bool | None = None
    serve_without_session: bool = False
    type_encoders: TypeEncodersMap | None = None
    manager: SessionManager | None = None
    session_factory: SessionFactory | None = None
    sandbox_id: str | None = None

    def __post_init__(self) -> None:
        """Create the manager, and raise ValueError for a malformed setting."""
        self._encoder = partial(default_serializer, type_encoders=self.type_encoders)
        self.sessions = asgi.SessionMiddleware(
            _no_application,
            manager=self.manager,
            session_factory=self.session_factory,
            sandbox_id=self.sandbox_id,
            cookie_name=self.key,
            path=self.path,
            domain=self.domain,
            same_site=self.samesite,
            https_only=self.secure,
            max_age=self.max_age,
            partitioned=self.partitioned,
            host_prefix=self.host_prefix,
            refresh=self.refresh,
            serve_without_session=self.serve_without_session,
            serializer=_LitestarJson(self._encoder),
        )
        self.sessions.cookies = replace(self.sessions.cookies, http_only=self.httponly)
        self.key = self.sessions.cookies.full_name

    @property
    def middleware(self) -> DefineMiddleware:
        """The middleware for `Litestar(middleware=[...])`; `on_app_init` adds it, too."""
        return DefineMiddleware(ChukSessionMiddleware, backend=ChukSessionBackend(config=self))

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware, and status 503 for handlers that meet an outage."""
        app_config.middleware.append(self.middleware)
        for error in asgi.OUTAGES:
            app_config.exception_handlers.setdefault(error, _unavailable)
        return app_config

    def take_over(self, scope: dict[str, Any], scope_session: Any) -> Session:
        """Return the session object of a scope, with the values that `set_session` or `clear_session` has given it."""
        session: Session = scope[_KEY]
        if scope_session is not session:
            scope["session"] = session
            self._replace_values(session, scope_session)
        return session

    def _replace_values(self, session: Session, values: Any) -> None:
        if values is None or values is Empty:
            session.clear()
            return
        if not isinstance(values, dict):
            values = decode_json(encode_json(values, self._encoder))
        for key in session.keys() - values.keys():
            del session[key]
        session.update(values)


def session_of(connection: Connection) -> Session:
    """Return the session object of a request or WebSocket, for `login`, `logout`, and atomic changes.

    `request.session` is the same object until `request.set_session` replaces it.

    Raises:
        ImproperlyConfiguredException: the middleware of a `ChukSessionConfig` is missing.

    """
    scope = cast(dict[str, Any], connection.scope)
    if _KEY not in scope:
        raise ImproperlyConfiguredException("the middleware of a ChukSessionConfig is missing")
    session: Session = scope[_KEY]
    return session


class _LitestarJson:
    """Litestar's own serializer."""

    def __init__(self, encoder: Callable[[Any], Any]) -> None:
        self._encoder = encoder

    def dumps(self, value: Any) -> str:
        return encode_json(value, self._encoder).decode()

    def loads(self, data: str) -> Any:
        return decode_json(data)


def _unavailable(request: Request[Any, Any, Any], error: ProviderError) -> Response[Any]:
    return Response(_UNAVAILABLE, status_code=503, headers={"Cache-Control": "no-store"})


async def _no_application(*_: object) -> None:
    raise AssertionError("this middleware has no application")


__all__ = ["ChukSessionBackend", "ChukSessionConfig", "ChukSessionMiddleware", "session_of"]
