"""The ASGI application of the devices page.

It covers requirements of ASVS 5.0: 7.4.3 (sign out all other sessions), 7.4.5 (sign out a session), and 7.5.2 (users
see and revoke their sessions, after a new authentication): https://github.com/OWASP/ASVS
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, quote

from .. import ListedSession, ProviderError, RevocationIncompleteError, SessionManager, session_hash
from ..asgi_messages import BodyTooLargeError, DisconnectedError, Message, Receive, Scope, Send, read_body
from ..integrations.csrf import CsrfMiddleware
from . import tokens
from .names import USER_AGENT_KEY, device_name, user_agent_of
from .page import POLICY, Device, devices_page, notice_page

logger = logging.getLogger(__package__)

Current = Callable[[Scope], Awaitable[tuple[str, str] | None] | tuple[str, str] | None]
Reauthenticate = Callable[[Scope], Awaitable[str | None] | str | None]
Action = Callable[[str, str, dict[str, str]], Awaitable[str]]
"""Takes user id, session id, and form. Returns a key of `page.MESSAGES`."""

_LONGEST_FORM: Final = 4096
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


async def current_session(scope: Scope) -> tuple[str, str] | None:
    """Return user and session id of the session of `integrations.asgi.SessionMiddleware`, or None."""
    session = scope["session"]
    await session.load()
    return (session.user_id, session.session_id) if session.user_id and session.session_id else None


class DevicesApp:
    """An ASGI application with one page: the devices on which the user is signed in, with buttons to sign them out.

    Mount it, for example with Starlette's `Mount("/devices", DevicesApp(manager))`. The page needs no JavaScript. It
    contains references of sessions, never ids, and the server refuses to revoke sessions of other users. Forms need a
    token, and requests from other sites are refused.

    Call `remember_device(scope, session)` at login, so that the page can name devices.
    """

    def __init__(
        self,
        manager: SessionManager,
        current: Current = current_session,
        reauthenticate: Reauthenticate | None = None,
        *,
        title: str = "Your devices",
        sign_in_url: str | None = None,
        user_agent_key: str = USER_AGENT_KEY,
    ) -> None:
        """Create the application.

        Args:
            manager: the manager of the sandbox with the users' sessions.
            current: a function, plain or asynchronous, that takes the scope of a request and returns (user id, session
                id), or None if nobody is signed in. By default it reads the session of
                `integrations.asgi.SessionMiddleware`. It must check that the session is alive.
            reauthenticate: a function, plain or asynchronous, that is called before a session is revoked. It returns
                None if the user has proved their identity recently, or else the URL of a page where they can do so.
            title: the title of the page.
            sign_in_url: the URL to which users are sent who are not signed in. With None, they get status 401.
            user_agent_key: the metadata key with a session's User-Agent.

        """
        self._manager, self._current, self._reauthenticate = manager, current, reauthenticate
        self._title, self._sign_in_url, self._user_agent_key = title, sign_in_url, user_agent_key
        self._checked = CsrfMiddleware(self._handle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request. Raises ValueError for a scope of another type than `http`."""
        if scope["type"] != "http":
            raise ValueError("the devices page only handles HTTP requests")
        try:
            await self._checked(scope, receive, send)
        except RevocationIncompleteError:
            await self._notice(send, 503, "Some devices could not be signed out. Please try again.")
        except ProviderError as error:
            logger.warning("the devices page is unavailable: %s", error)
            await self._notice(send, 503, "Your devices cannot be shown at the moment. Please try again.")

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        path, method = scope["path"].removeprefix(root).rstrip("/"), scope["method"]
        actions: dict[str, Action] = {"/revoke": self._revoke, "/revoke-others": self._revoke_others}
        if path not in ("", *actions):
            return await self._notice(send, 404, "There is no such page.")
        if method not in (("GET", "HEAD") if path == "" else ("POST",)):
            return await self._notice(send, 405, "This is not possible here.")
        current = await _result(self._current(scope))
        if current is None:
            return await self._refuse_stranger(send)
        user_id, session_id = current
        if path == "":
            return await self._show(scope, send, user_id, session_id)
        form = await _read_form(receive)
        if form is None or not tokens.is_valid(session_id, form.get("token", "")):
            return await self._notice(send, 403, "This form is not valid any more.", (root or "/", "Show your devices"))
        proof = await _result(self._reauthenticate(scope)) if self._reauthenticate else None
        if proof is not None:
            return await _redirect(send, proof)
        done = await actions[path](user_id, session_id, form)
        return await _redirect(send, f"{quote(root)}/?done={done}")

    async def _revoke(self, user_id: str, session_id: str, form: dict[str, str]) -> str:
        reference = form.get("reference", "")
        if reference == session_hash(session_id):
            return "this"
        return "one" if await self._manager.revoke_session(reference, user_id=user_id) else "gone"

    async def _revoke_others(self, user_id: str, session_id: str, form: dict[str, str]) -> str:
        await self._manager.revoke_user_sessions(user_id, except_session_id=session_id)
        return "others"

    async def _show(self, scope: Scope, send: Send, user_id: str, session_id: str) -> None:
        sessions = await self._manager.list_user_sessions(user_id)
        # Parsing takes long for some texts, so it must not block the event loop.
        devices = await asyncio.to_thread(self._devices, sessions, session_hash(session_id), user_agent_of(scope))
        done = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("done", [None])[0]
        root = quote(scope.get("root_path", ""))
        page = devices_page(self._title, devices, root, tokens.token(session_id), done)
        await _send_page(send, 200, page, is_head=scope["method"] == "HEAD")

    def _devices(self, sessions: list[ListedSession], current: str, user_agent: str) -> list[Device]:
        """Return the rows: the current device first, then the others, the most recently seen first."""
        rows = []
        for session in sessions:
            is_current = session.reference == current
            stored = user_agent if is_current else session.custom_metadata.get(self._user_agent_key)
            name = device_name(stored if isinstance(stored, str) else "")
            rows.append(Device(session.reference, name, session.created_at, session.last_accessed, is_current))
        rows.sort(key=lambda row: (row.is_current, row.last_accessed), reverse=True)
        return rows

    async def _refuse_stranger(self, send: Send) -> None:
        if self._sign_in_url is not None:
            return await _redirect(send, self._sign_in_url)
        return await self._notice(send, 401, "Please sign in to see your devices.")

    async def _notice(self, send: Send, status: int, text: str, link: tuple[str, str] | None = None) -> None:
        await _send_page(send, status, notice_page(self._title, text, link))


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _read_form(receive: Receive) -> dict[str, str] | None:
    """Return the first value of each field of a form; None for a malformed or too long form, or a lost client."""
    try:
        body = await read_body(receive, _LONGEST_FORM)
        fields = parse_qs(body.decode("latin-1"), max_num_fields=10)
    except (BodyTooLargeError, DisconnectedError, ValueError):
        return None
    return {name: values[0] for name, values in fields.items()}


async def _redirect(send: Send, url: str) -> None:
    location = (b"location", url.encode("latin-1", "replace"))
    await send({"type": "http.response.start", "status": 303, "headers": [location, (b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})


async def _send_page(send: Send, status: int, page: str, *, is_head: bool = False) -> None:
    body = page.encode()
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [*_HEADERS, (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": b"" if is_head else body})
