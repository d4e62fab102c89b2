"""Visitors of a shop: devices that keep cookies and CSRF tokens as browsers do, and note each reply."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

import aiohttp

SESSION_COOKIE = "__Host-session"
TIMEOUT = 30.0


@dataclass(frozen=True)
class Cookie:
    """A Set-Cookie header. The names of attributes are in lower case."""

    name: str
    value: str
    attributes: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> Cookie:
        pair, *rest = (part.strip() for part in header.split(";"))
        name, _, value = pair.partition("=")
        attributes = (part.partition("=") for part in rest)
        return cls(name, value, {key.lower(): text for key, _, text in attributes})

    @property
    def deletes(self) -> bool:
        """Whether browsers delete the cookie."""
        expires = self.attributes.get("expires", "")
        return int(self.attributes.get("max-age", "1")) <= 0 or "1970" in expires


@dataclass(frozen=True)
class Reply:
    """A response, with the times at which its request began and ended."""

    path: str
    status: int
    headers: dict[str, str]
    cookies: list[Cookie]
    text: str
    began: float
    ended: float

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def session_cookies(self) -> list[Cookie]:
        return [cookie for cookie in self.cookies if cookie.name == SESSION_COOKIE]


@dataclass
class Device:
    """A browser on one device. It sends Secure cookies over plain HTTP, too, as browsers do on localhost."""

    http: aiohttp.ClientSession
    url: str
    token_cookie: str | None
    replies: list[Reply]
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    @property
    def session_id(self) -> str | None:
        return self.cookies.get(SESSION_COOKIE)

    def copy(self) -> Device:
        """Return a device with the same cookies, such as that of a thief."""
        return replace(self, cookies=dict(self.cookies))

    async def get(self, path: str) -> Reply:
        return await self._send("GET", path, {})

    async def post(self, path: str, body: Any = None, *, token: str | None = None) -> Reply:
        """Send a request with the CSRF token, or with another one; the empty text sends none."""
        sent = self.token if token is None else token
        return await self._send("POST", path, {"X-CSRF-Token": sent} if sent else {}, {} if body is None else body)

    async def refresh_token(self) -> Reply:
        """Fetch a page with a CSRF token."""
        if self.token_cookie:
            reply = await self.get("/cart")
            self.token = self.cookies.get(self.token_cookie, "")
            return reply
        reply = await self.get("/csrf")
        if reply.status == 200:
            self.token = reply.body["csrf"]
        return reply

    async def log_in(self, user: str) -> Reply:
        """Log in, and fetch the CSRF token that is valid afterwards. Returns the reply to the login."""
        await self._need_token()
        reply = await self.post("/login", {"user": user})
        assert (reply.status, reply.body["user"]) == (200, user), reply
        await self._need_token()
        return reply

    async def _need_token(self) -> None:
        reply = await self.refresh_token()
        assert reply.status == 200, reply

    async def _send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Reply:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**headers, "Cookie": cookies} if cookies else headers
        began = monotonic()
        async with self.http.request(method, self.url + path, json=body, headers=headers) as response:
            text = await response.text()
        set_cookies = [Cookie.parse(header) for header in response.headers.getall("Set-Cookie", [])]
        plain = {name.lower(): value for name, value in response.headers.items()}
        reply = Reply(path, response.status, plain, set_cookies, text, began, monotonic())
        self.replies.append(reply)
        for cookie in set_cookies:
            self.cookies.pop(cookie.name, None)
            if not cookie.deletes:
                self.cookies[cookie.name] = cookie.value
        return reply


@dataclass
class Crowd:
    """Devices that visit one shop, and all their replies."""

    http: aiohttp.ClientSession
    url: str
    token_cookie: str | None
    replies: list[Reply] = field(default_factory=list)

    def device(self) -> Device:
        return Device(self.http, self.url, self.token_cookie, self.replies)

    def session_ids(self) -> Iterator[str]:
        """Yield the secrets that cookies have had."""
        for reply in self.replies:
            yield from (cookie.value for cookie in reply.session_cookies if not cookie.deletes)


@asynccontextmanager
async def crowd(url: str, token_cookie: str | None) -> AsyncIterator[Crowd]:
    """Open a shop's door. Each request has a connection of its own, so that any worker may get it."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as http:
        yield Crowd(http, url, token_cookie)
