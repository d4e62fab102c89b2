"""Protection of ASGI applications against cross-site request forgery (CSRF).

`CsrfMiddleware` refuses requests that another site's page has sent, according to the headers with which browsers say
so, and closes WebSockets that it has opened. For browsers without these headers, and as a second line of defense, use
tokens: `token(session)` returns one for a form or a header, and `is_valid(session, sent)` checks it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from ..asgi_messages import ASGIApp, Receive, Scope, Send
from .lifecycle import CSRF_KEY
from .masks import SECRET_BYTES, hides, masked
from .session import Session, SyncSession

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that must change nothing, according to RFC 9110."""

_POLICY_VIOLATION: Final = 1008
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def token(session: Session | SyncSession) -> str:
    """Return a token that is valid until the session expires, or its user logs in or out: 86 characters, safe in URLs.

    The first call adds a random secret to the session, under the key `_csrf`. Each token hides it in another way, so
    that attacks on the compression of responses (BREACH) do not find it.
    """
    secret = _secret(session)
    if secret is None:
        secret = secrets.token_bytes(SECRET_BYTES)
        session[CSRF_KEY] = secret.hex()
    return masked(secret)


def is_valid(session: Session | SyncSession, sent: object) -> bool:
    """Return whether a value that a client has sent is a token of this session. Any value is allowed."""
    secret = _secret(session)
    return secret is not None and hides(sent, secret)


def _secret(session: Session | SyncSession) -> bytes | None:
    text = session.get(CSRF_KEY)
    try:
        secret = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return secret if len(secret) == SECRET_BYTES else None


class CsrfMiddleware:
    """ASGI middleware that refuses requests from pages of other sites.

    It checks requests that may change something, and WebSockets. Browsers say where these come from: in the header
    `Sec-Fetch-Site`, and older ones in `Origin`. A request with neither passes, because no page in a browser has sent
    it. Requests of the application's own pages and of trusted origins pass, too. With `check_token`, those that have a
    session also need the header `X-CSRF-Token`; tokens in forms are checked by the application.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted_origins: Iterable[str] = (),
        check_token: bool = False,
        header_name: str = "x-csrf-token",
        exempt: Callable[[Scope], bool] | None = None,
    ) -> None:
        """Create the middleware. It must run inside of `SessionMiddleware` if it checks tokens.

        Args:
            app: the application.
            trusted_origins: other sites whose pages may send requests, such as `https://www.example.com`.
            check_token: whether requests with a session need a token in a header.
            header_name: the name of that header.
            exempt: a function that tells for a scope whether it is not checked, for webhooks and the like.

        Raises:
            ValueError: a trusted origin is malformed.

        """
        if isinstance(trusted_origins, str):
            raise ValueError("trusted_origins must be a list of origins, not a single string")
        self.app = app
        self.trusted_origins = frozenset(map(_checked_origin, trusted_origins))
        self.check_token = check_token
        self.header_name = header_name.lower().encode("ascii")
        self.exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        reason = await self._objection(scope)
        if reason is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        else:
            body = f"{reason}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _objection(self, scope: Scope) -> str | None:
        """Return why the request is refused, or None."""
        is_socket = scope["type"] == "websocket"
        if not is_socket and (scope["type"] != "http" or scope["method"] in SAFE_METHODS):
            return None
        if self.exempt is not None and self.exempt(scope):
            return None
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        if not self._comes_from_here(headers):
            return "The request comes from another site."
        # Browsers cannot add headers to the handshake of a WebSocket.
        if self.check_token and not is_socket and not await self._has_token(scope, headers):
            return "The CSRF token is missing or invalid."
        return None

    def _comes_from_here(self, headers: dict[bytes, str]) -> bool:
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is not None and _origin(origin) in self.trusted_origins:
            return True
        if site is not None:
            return site in ("same-origin", "none")
        if origin is None:
            return True
        # A proxy may have received the request over HTTPS, so only hosts and ports are compared.
        scheme = origin.partition(":")[0]
        return _origin(origin) is not None and _origin(origin) == _origin(f"{scheme}://{headers.get(b'host', '')}")

    async def _has_token(self, scope: Scope, headers: dict[bytes, str]) -> bool:
        session: Session = scope["session"]
        await session.load()
        return session.is_new or is_valid(session, headers.get(self.header_name))


def _checked_origin(text: str) -> tuple[str, str, int]:
    origin = _origin(text)
    if origin is None:
        raise ValueError(f"an origin must be like 'https://www.example.com', not {text!r}")
    return origin


def _origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None if it is malformed, or `null`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port


__all__ = ["CsrfMiddleware", "is_valid", "token"]
