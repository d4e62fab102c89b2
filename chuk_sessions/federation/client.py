"""RemoteIssuer: asks another store, over HTTP, whether one of its grants counts at this moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp

from .. import ProviderError, SessionTimeoutError, SessionUnavailableError
from . import assertions, jwt
from .keys import SigningKeys
from .tokens import Grant

TIMEOUT_SECONDS: Final = 5.0
_MAX_RESPONSE: Final = 16_384
_KEEPALIVE_SECONDS: Final = 4.0
"""Time for which idle connections stay open, which is less than servers usually allow."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Introspection:
    """The response of an issuer for a grant that counts.

    Attributes:
        user_id: the session's user, or None if the issuer does not tell.
        expires_at: when the grant or, if that is earlier, the session expires, in seconds since the epoch.

    """

    user_id: str | None = field(repr=False)
    expires_at: int


class RemoteIssuer:
    """The endpoints of an issuer whose sessions are in another store.

    The URL is part of the configuration. No URL from a token or response is ever requested, and redirects are not
    followed. Each event loop has connections of its own, which stay open between requests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_connections: int = 100,
        allow_http: bool = False,
        tls: Any = True,
    ) -> None:
        """Configure the issuer; nothing is sent.

        Args:
            url: where the issuer serves its `FederationApp`, without a slash at the end.
            timeout_seconds: time for a request, including the wait for a connection.
            max_connections: most connections of an event loop.
            allow_http: whether the URL may begin with `http://`. On the loopback it always may.
            tls: an `ssl.SSLContext`, by default the system's.

        Raises:
            ValueError: the URL is malformed or not https, or a number is not positive.

        """
        self.url = _check_url(url, allow_http)
        if not 0 < timeout_seconds < 3600 or max_connections < 1:
            raise ValueError("timeout_seconds and max_connections must be positive")
        self._seconds = timeout_seconds
        self._most = max_connections
        self._tls = tls
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"RemoteIssuer({self.url!r})"

    async def introspect(self, token: str, grant: Grant, keys: SigningKeys) -> Introspection | None:
        """Return what the issuer says about a grant, or None if the grant does not count.

        Args:
            token: the token, whose signature was checked.
            grant: the grant in it.
            keys: keys of the sandbox that asks, which is the audience of the grant.

        Raises:
            SessionTimeoutError: the issuer did not respond in time.
            SessionUnavailableError: the issuer is unreachable, or fails, or refuses the keys of this sandbox.
            ProviderError: the response is not as documented.

        """

        def form() -> dict[str, str]:
            text = assertions.assertion(grant.audience, grant.issuer, keys)
            return {"token": token, "client_assertion_type": assertions.METHOD, "client_assertion": text}

        status, body = await self._post("/introspect", form)
        if status != 200:
            raise SessionUnavailableError(f"the issuer of a grant responded with status {status}{_hint(status)}")
        return _introspection(body, grant)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. Later requests open others."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    async def _post(self, path: str, form: Callable[[], dict[str, str]]) -> tuple[int, bytes]:
        """Return status and body of the response. A request is sent again if its connection was closed meanwhile."""
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await self._send(path, form())
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    return await self._send(path, form())
        except asyncio.TimeoutError:  # noqa: UP041  (also a subclass of OSError)
            raise SessionTimeoutError(f"the issuer did not respond within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise SessionUnavailableError(f"the issuer is unreachable: {type(error).__name__}") from None

    async def _send(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        async with self._session().post(f"{self.url}{path}", data=form, allow_redirects=False) as response:
            return response.status, await _body(response)

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        found = self._sessions.get(loop)
        if found is None:
            found = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._most, ssl=self._tls, keepalive_timeout=_KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                trust_env=False,
                headers={"User-Agent": "chuk-sessions", "Accept": "application/json"},
                skip_auto_headers=("Accept-Encoding",),
            )
        return found


def _check_url(url: object, allow_http: bool) -> str:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the URL of an issuer must have a host, and neither user, query, nor fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or parts.hostname in _LOOPBACK)):
        raise ValueError("the URL of an issuer must begin with https://; with allow_http=True, http:// is allowed")
    return str(url).rstrip("/")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a response; nothing if it is too long."""
    body = b""
    async for chunk in response.content.iter_chunked(_MAX_RESPONSE):
        body += chunk
        if len(body) > _MAX_RESPONSE:
            return b""
    return body


def _hint(status: int) -> str:
    return "; it may not trust the keys of this sandbox" if status == 401 else ""


def _introspection(body: bytes, grant: Grant) -> Introspection | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("active"), bool):
        raise ProviderError("the issuer's response is not an introspection")
    if not found["active"]:
        return None
    expected = {"iss": grant.issuer, "aud": grant.audience, "sub": grant.session_hash, "jti": grant.jti}
    expires_at: Any = found.get("exp")
    user_id: Any = found.get("username")
    if (
        any(found.get(name) != value for name, value in expected.items())
        or not jwt.is_time(expires_at)
        or not isinstance(user_id, str | None)
    ):
        raise ProviderError("the issuer's response belongs to another grant")
    return Introspection(user_id, min(expires_at, grant.expires_at))
