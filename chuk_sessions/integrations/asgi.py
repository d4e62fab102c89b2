"""Sessions for Starlette, FastAPI, and any other ASGI application: `scope["session"]` is a `Session`.

```python
app.add_middleware(SessionMiddleware)
```
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal

from .. import (
    OutcomeUnknownError,
    ProviderError,
    RevocationIncompleteError,
    SessionManager,
    SessionUnavailableError,
    StoreFullError,
)
from ..asgi_messages import ASGIApp, Message, Receive, Scope, Send
from .cookies import CookieSettings, SameSite
from .env import manager_for
from .session import Session, SessionOptions
from .state import Refresh
from .values import Serializer, Values

OUTAGES: Final[tuple[type[ProviderError], ...]] = (
    SessionUnavailableError,
    OutcomeUnknownError,
    StoreFullError,
    RevocationIncompleteError,
)
"""The errors that another attempt may not meet. Other errors of the store, such as damaged records, propagate."""

_START: Final = ("http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start")
_UNAVAILABLE: Final = b"The session store is unavailable. Try again later.\n"
_TRY_AGAIN_LATER: Final = 1013
"""The status code with which a WebSocket is closed during an outage."""

_logger = logging.getLogger("chuk_sessions.integrations")


class SessionMiddleware:
    """ASGI middleware that loads the session before a request, and saves its changes before the response begins.

    Changes after that (in background tasks, streams, and accepted WebSockets) need `await session.save()`. If the
    application fails before its response begins, nothing is saved. During an outage of the store, the client gets
    status 503, and keeps its session.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        manager: SessionManager | None = None,
        session_factory: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        sandbox_id: str | None = None,
        cookie_name: str = "session",
        path: str = "/",
        domain: str | None = None,
        same_site: SameSite = "lax",
        https_only: bool = True,
        max_age: float | None = 14 * 24 * 3600,
        partitioned: bool = False,
        host_prefix: bool | None = None,
        refresh: Refresh = "on_change",
        lazy: bool = False,
        serve_without_session: bool = False,
        serializer: Serializer | Literal["json"] | None = "json",
        session_cookie: str | None = None,
        secret_key: object = None,
    ) -> None:
        """Create the middleware; nothing is sent.

        Args:
            app: the application.
            manager: the session manager; by default, a new one for the environment.
            session_factory: for that manager, by default the environment's.
            sandbox_id: for that manager, by default the environment's, else `web`.
            cookie_name: the cookie's name, without the prefix `__Host-`.
            path: the path of the cookie.
            domain: the domain of the cookie.
            same_site: `lax`, `strict` or `none`.
            https_only: whether browsers send the cookie over HTTPS only. Some make an exception for localhost.
            max_age: seconds until a session expires. None takes the manager's default, and the cookie lasts until the
                browser closes.
            partitioned: whether the cookie is kept apart for each site that embeds this one.
            host_prefix: whether the cookie's name begins with `__Host-`, by default where browsers allow that: with
                `https_only`, the path `/`, and no domain.
            refresh: when `max_age` starts again: `on_change`, `on_request`, or `never`.
            lazy: the application calls `await session.load()` where it needs the session, as the dependencies of
                `integrations.fastapi` do. Other requests then cost nothing.
            serve_without_session: during an outage, the application gets an empty session, whose changes are dropped.
                The cookie stays. Without this, the client gets status 503.
            serializer: for values that JSON would change. By default it is the module `json`, as in Starlette, which
                turns tuples into lists, for example. None refuses such values.
            session_cookie: Starlette's word for `cookie_name`.
            secret_key: ignored. Starlette needs it, because its cookies have the values. Here they have random ids.

        Raises:
            ValueError: an argument is malformed.

        """
        values = Values(json if serializer == "json" else serializer)
        self.app = app
        self.manager = manager_for(SessionManager, manager, session_factory, sandbox_id=sandbox_id)
        self.options = SessionOptions(max_age=max_age, refresh=refresh, values=values)
        self.cookies = CookieSettings(
            name=session_cookie or cookie_name,
            path=path,
            domain=domain,
            secure=https_only,
            same_site=same_site,
            partitioned=partitioned,
            host_prefix=host_prefix,
        )
        self.lazy = lazy
        self.serve_without_session = serve_without_session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] in ("http", "websocket"):
            await _Exchange(self, scope, send).run(receive)
        else:
            await self.app(scope, receive, send)


class _Exchange:
    """A request and its response."""

    def __init__(self, middleware: SessionMiddleware, scope: Scope, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._has_begun = False
        self._is_refused = False
        cookie = middleware.cookies.find(cookie_header(scope))
        self.session = Session(manager=middleware.manager, session_id=cookie, options=middleware.options)

    async def run(self, receive: Receive) -> None:
        """Run the application with the session."""
        self._scope["session"] = self.session
        try:
            if not self._middleware.lazy:
                await self._load()
            await self._middleware.app(self._scope, receive, self.send)
        except OUTAGES as error:
            if self._has_begun:
                raise
            await self._refuse(error)
        if self._has_begun and self.session.unsaved():
            _logger.warning("changes of a session after the response began are lost: use `await session.save()`")

    async def _load(self) -> None:
        try:
            await self.session.load()
        except OUTAGES as error:
            if not self._middleware.serve_without_session:
                raise
            _logger.warning("a request is served without its session: %s", error)
            self.session.serve_without()

    async def send(self, message: Message) -> None:
        """Send a message of the application. Save the session before the first one."""
        if self._is_refused:
            return
        if not self._has_begun and message["type"] in _START:
            try:
                await self._save()
            except OUTAGES as error:
                await self._refuse(error)
                return
            self._has_begun = True
            self.session.seal()
            message = self._with_headers(message)
        await self._send(message)

    async def _save(self) -> None:
        try:
            await self.session.save()
        except OUTAGES as error:
            if not self._middleware.serve_without_session:
                raise
            _logger.warning("changes of a session are dropped: %s", error)

    def _with_headers(self, message: Message) -> Message:
        session, headers = self.session, [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        if message["type"] == "websocket.close":
            return message
        headers += self._cookie_headers()
        if message["type"] != "websocket.accept" and (session.accessed or session.cookie):
            headers = [*_varying(headers)]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"private, no-cache"))
        return {**message, "headers": headers}

    def _cookie_headers(self) -> list[tuple[bytes, bytes]]:
        cookie = self.session.cookie
        return [] if cookie is None else [(b"set-cookie", self._middleware.cookies.header(cookie).encode("ascii"))]

    async def _refuse(self, error: ProviderError) -> None:
        """Send status 503. The session's cookie stays, or has both ids if the outcome of a rotation is unknown."""
        _logger.error("a request is refused, because the session store failed: %s", error)
        self._is_refused = True
        if self._scope["type"] == "http":
            prefix = "http"
        elif "websocket.http.response" in (self._scope.get("extensions") or {}):
            prefix = "websocket.http"
        else:
            await self._send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": ""})
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(_UNAVAILABLE)),
            (b"cache-control", b"no-store"),
            *self._cookie_headers(),
        ]
        await self._send({"type": f"{prefix}.response.start", "status": 503, "headers": headers})
        await self._send({"type": f"{prefix}.response.body", "body": _UNAVAILABLE})


def cookie_header(scope: Scope) -> str:
    """Return the Cookie header of a request. HTTP/2 may split it."""
    return "; ".join(value.decode("latin-1") for name, value in scope.get("headers", ()) if name.lower() == b"cookie")


def _varying(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers with `Vary: Cookie`."""
    varies = [value for name, value in headers if name.lower() == b"vary"]
    yield from (header for header in headers if header[0].lower() != b"vary")
    parts = [part.strip().lower() for value in varies for part in value.split(b",")]
    yield b"vary", b", ".join(varies if b"*" in parts or b"cookie" in parts else [*varies, b"Cookie"])


__all__ = ["OUTAGES", "SessionMiddleware"]
