"""A storage for aiohttp_session.

```python
from aiohttp import web
from chuk_sessions.integrations.aiohttp import session_of, setup


async def login(request: web.Request) -> web.Response:
    await (await session_of(request)).login("alice")
    return web.Response()


app = web.Application()
setup(app)
app.add_routes([web.post("/login", login)])
```

Install it with `chuk-sessions[redis,aiohttp]`. Provider, URL and sandbox come from the environment (SESSION_PROVIDER,
SESSION_REDIS_URL, CHUK_SANDBOX_ID). `aiohttp_session.get_session(request)` works as with every storage, and
`aiohttp_session.setup(app, ChukStorage())`, too. The `setup` of this module adds what a storage alone cannot do: it
saves the session before WebSockets and streams begin, and answers with status 503 where a handler meets an outage.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any, Literal

import aiohttp_session
from aiohttp import web
from aiohttp.typedefs import Handler

from .. import SessionManager, SessionMetadata
from .asgi import OUTAGES
from .cookies import CookieChange, CookieSettings, SameSite
from .env import manager_for
from .session import Session, SessionOptions
from .state import EXPIRY_KEY, Refresh
from .upserts import SessionFactory
from .values import Serializer, Values

_logger = logging.getLogger("chuk_sessions.integrations")


class _State(Session):
    """A session object that knows when the session was created."""

    created: int | None = None

    def _adopt(self, found: SessionMetadata | None, new_id: str | None = None) -> None:
        super()._adopt(found, new_id)
        if found is not None and found.created_at is not None:
            self.created = int(datetime.fromisoformat(found.created_at).timestamp())


class ChukSession(aiohttp_session.Session):
    """The session of aiohttp_session, over a session object of this library.

    Changes inside lists and dicts are found without a call of `changed()`.

    Attributes:
        state: the session object, for `login`, `logout`, and atomic changes.

    """

    def __init__(self, state: _State, max_age: float | None) -> None:
        super().__init__(None, data=None, new=True)
        self.state: Session = state
        self._mapping = state
        self._default_max_age = max_age
        self._is_invalidated = False
        self._response: web.StreamResponse | None = None
        if state.created is not None:
            self._created = state.created

    @property
    def _changed(self) -> bool:
        """Whether the middleware must call `save_session`: also after reads, which a cache has to know."""
        state = self.state
        return state.accessed or state.cookie is not None or self._is_invalidated or state.unsaved()

    @_changed.setter
    def _changed(self, changed: bool) -> None:
        if changed:
            self.state.mark_modified()

    @property
    def new(self) -> bool:
        """Whether the store has no such session yet."""
        return self.state.is_new

    @property
    def identity(self) -> str | None:
        """The session's id, a secret; None before it is created."""
        return self.state.session_id

    def set_new_identity(self, identity: object) -> None:
        """Raise RuntimeError: the library generates all ids, so that none can be guessed or planted."""
        raise RuntimeError("ids of sessions are generated when they are saved")

    @property
    def max_age(self) -> Any:
        """Seconds until this session expires, counted from the last save that changed it; None for the default."""
        return dict.get(self.state, EXPIRY_KEY, self._default_max_age)

    @max_age.setter
    def max_age(self, value: float | None) -> None:
        self.state.set_expiry(value)

    def invalidate(self) -> None:
        """Remove all values. The save deletes the session with its id. Values that are set afterwards get a new one."""
        self.state.clear()
        self._is_invalidated = True

    async def save(self) -> None:
        """Save the values that have changed. The storage does this before the response."""
        if self._is_invalidated:
            values = dict(self.state)
            await self.state.logout()
            self.state.update(values)
            self._is_invalidated = False
        await self.state.save()


class ChukStorage(aiohttp_session.AbstractStorage):
    """A storage whose sessions lose no change of concurrent requests, and stay revoked.

    It works in several event loops.
    """

    def __init__(
        self,
        *,
        manager: SessionManager | None = None,
        session_factory: SessionFactory | None = None,
        sandbox_id: str | None = None,
        cookie_name: str = "AIOHTTP_SESSION",
        domain: str | None = None,
        max_age: int | None = None,
        path: str = "/",
        secure: bool = True,
        httponly: bool = True,
        samesite: SameSite = "lax",
        partitioned: bool = False,
        host_prefix: bool | None = None,
        refresh: Refresh = "on_change",
        serve_without_session: bool = False,
        serializer: Serializer | Literal["json"] | None = "json",
    ) -> None:
        """Create a storage; nothing is sent.

        Args:
            manager: the session manager; by default, a new one for the environment.
            session_factory: for that manager, by default the environment's.
            sandbox_id: for that manager, by default the environment's, else `web`.
            cookie_name: the cookie's name, without the prefix `__Host-`.
            domain: the domain of the cookie.
            max_age: seconds until a session expires, unless its own `max_age` is set. None takes the manager's default,
                and the cookie lasts until the browser closes.
            path: the path of the cookie.
            secure: whether browsers send the cookie over HTTPS only. Some make an exception for localhost.
            httponly: whether scripts on the page cannot read the cookie.
            samesite: `lax`, `strict` or `none`.
            partitioned: whether the cookie is kept apart for each site that embeds this one.
            host_prefix: whether the cookie's name begins with `__Host-`, by default where browsers allow that.
            refresh: when `max_age` starts again: `on_change`, `on_request`, or `never`.
            serve_without_session: during an outage, handlers get an empty session, whose changes are dropped. Without
                this, clients get status 503.
            serializer: for values that JSON would change. By default it is the module `json`, as in aiohttp_session,
                which turns tuples into lists, for example. None refuses such values.

        Raises:
            ValueError: an argument is malformed.

        """
        self.manager = manager_for(SessionManager, manager, session_factory, sandbox_id=sandbox_id)
        values = Values(json if serializer == "json" else serializer)
        self.options = SessionOptions(max_age=max_age, refresh=refresh, values=values)
        self.cookies = CookieSettings(
            name=cookie_name,
            path=path,
            domain=domain,
            secure=secure,
            http_only=httponly,
            same_site=samesite,
            partitioned=partitioned,
            host_prefix=host_prefix,
        )
        self.serve_without_session = serve_without_session
        super().__init__(
            cookie_name=self.cookies.full_name,
            domain=domain,
            max_age=max_age,
            path=path,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    async def new_session(self) -> ChukSession:
        """Return a session that is not in the store yet."""
        return ChukSession(_State(manager=self.manager, options=self.options), self.max_age)

    async def load_session(self, request: web.Request) -> ChukSession:
        """Return the session of a request's cookie, or a new one. Raises HTTPServiceUnavailable during an outage."""
        cookie = self.cookies.find("; ".join(request.headers.getall("Cookie", [])))
        state = _State(manager=self.manager, session_id=cookie, options=self.options)
        try:
            await state.load()
        except OUTAGES as error:
            if not self.serve_without_session:
                raise _unavailable(error) from error
            _logger.warning("a request is served without its session: %s", error)
            state.serve_without()
        return ChukSession(state, self.max_age)

    async def save_session(
        self, request: web.Request, response: web.StreamResponse, session: aiohttp_session.Session
    ) -> None:
        """Save the session, and add its cookie to the response. Raises HTTPServiceUnavailable during an outage."""
        assert isinstance(session, ChukSession), "the session is of another storage"
        if session._response is response:
            return
        try:
            await session.save()
        except OUTAGES as error:
            if not self.serve_without_session:
                raise _unavailable(error, self, session) from error
            _logger.warning("changes of a session are dropped: %s", error)
        session._response = response
        self._send_cookie(response, session.state.cookie)
        _vary(response)

    def _send_cookie(self, response: web.StreamResponse, cookie: CookieChange | None) -> None:
        # Response.set_cookie would be too late for streams: their cookies are complete before they are prepared.
        if cookie is None:
            return
        header = self.cookies.header(cookie)
        if cookie.value is None:
            # Like the storages of aiohttp_session, send an empty value.
            header = header.replace("=null", "=", 1) + ("; Max-Age=0" if cookie.max_age is None else "")
        response.headers.add("Set-Cookie", header)


def setup(app: web.Application, storage: ChukStorage | None = None) -> ChukStorage:
    """Add sessions to an application, with a storage for the environment by default. Return the storage."""
    storage = storage or ChukStorage()
    app.middlewares.append(_outages)
    aiohttp_session.setup(app, storage)
    app.on_response_prepare.append(_on_response_prepare)
    return storage


async def session_of(request: web.Request) -> Session:
    """Return the session object of a request, for `login`, `logout`, and atomic changes. It has the values of
    `aiohttp_session.get_session(request)`.

    Raises:
        RuntimeError: the application has no ChukStorage.

    """
    session = await aiohttp_session.get_session(request)
    if not isinstance(session, ChukSession):
        raise RuntimeError("the application has another storage than a ChukStorage")
    return session.state


@web.middleware
async def _outages(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except OUTAGES as error:
        raise _unavailable(error, *_session_in(request)) from error


async def _on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Save the session of a request whose response begins. The middleware does so for others than streams."""
    storage, session = _session_in(request)
    if storage is not None and session is not None:
        if session._changed:
            await storage.save_session(request, response, session)
        session.state.seal()


def _session_in(request: web.Request) -> tuple[ChukStorage | None, ChukSession | None]:
    storage, session = request.get(aiohttp_session.STORAGE_KEY), request.get(aiohttp_session.SESSION_KEY)
    return (storage, session) if isinstance(storage, ChukStorage) and isinstance(session, ChukSession) else (None, None)


def _unavailable(
    error: Exception, storage: ChukStorage | None = None, session: ChukSession | None = None
) -> web.HTTPServiceUnavailable:
    _logger.error("a request is refused, because the session store failed: %s", error)
    response = web.HTTPServiceUnavailable(text="The session store is unavailable. Try again later.\n")
    response.headers["Cache-Control"] = "no-store"
    if storage is not None and session is not None:
        # The session is not saved again for this response. Perhaps a login has taken effect although its outcome is
        # unknown.
        session._response = response
        storage._send_cookie(response, session.state.cookie)
    return response


def _vary(response: web.StreamResponse) -> None:
    """Tell caches that the response depends on the cookie."""
    varies = response.headers.getall("Vary", [])
    if not any(part.strip().lower() in ("*", "cookie") for value in varies for part in value.split(",")):
        response.headers["Vary"] = ", ".join([*varies, "Cookie"])
    response.headers.setdefault("Cache-Control", "private, no-cache")


__all__ = ["ChukSession", "ChukStorage", "session_of", "setup"]
