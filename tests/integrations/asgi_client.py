"""A client that calls an ASGI application in the test's event loop, and keeps cookies as a browser does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Response:
    """A response: status, headers, and body."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return the values of all headers with this name."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """Return the only header with this name, or None."""
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """A browser with cookies. Tests may read and change `cookies`."""

    def __init__(self, app: Any, cookies: dict[str, str] | None = None) -> None:
        self.app = app
        self.cookies = {} if cookies is None else cookies

    @property
    def session_id(self) -> str | None:
        """The id in the session cookie, or None."""
        return self.cookies.get("__Host-session")

    async def get(self, path: str, **options: Any) -> Response:
        """Send a GET request."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, data: Any = None, **options: Any) -> Response:
        """Send a POST request with a JSON body."""
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        return await self.request("POST", path, body=json.dumps(data).encode(), headers=headers, **options)

    async def request(
        self, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Response:
        """Send a request, and return the response when the application has finished."""
        response, messages = Response(), [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()  # the client does not disconnect before the response
            return messages.pop(0)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert response.status == 0
                response.status = message["status"]
                response.headers = _decoded(message["headers"])
                self.keep(response.all("set-cookie"))
            else:
                assert response.status
                response.body += message.get("body", b"")

        await self.app(self.scope("http", path, headers, method=method), receive, send)
        return response

    def scope(self, kind: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        """Return the scope of a request."""
        path, _, query = path.partition("?")
        pairs = {"host": "testserver", **(headers or {})}
        if self.cookies:
            pairs["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "https" if kind == "http" else "wss",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 443),
            **more,
        }

    def keep(self, cookies: Iterable[str]) -> None:
        """Store and delete cookies as a browser does."""
        for cookie in cookies:
            pair, *attributes = cookie.split("; ")
            name, _, value = pair.partition("=")
            if any(text.startswith("expires=Thu, 01 Jan 1970") or text == "Max-Age=0" for text in attributes):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


class WebSocket:
    """A WebSocket whose messages a test sends and receives one by one."""

    def __init__(self, client: Client, path: str, extensions: dict[str, Any] | None = None, **headers: str) -> None:
        self._to_app: asyncio.Queue[Any] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        self._client = client
        scope = client.scope("websocket", path, headers, subprotocols=[], extensions=extensions or {})
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(client.app(scope, self._to_app.get, self._from_app.put))

    async def receive(self) -> dict[str, Any]:
        """Return the next message of the application. Raise its error if it has failed."""
        get = asyncio.create_task(self._from_app.get())
        await asyncio.wait([get, self.task], return_when=asyncio.FIRST_COMPLETED)
        if not get.done() and self._from_app.empty():
            get.cancel()
            await self.task
            raise AssertionError("the application has sent nothing more")
        message: dict[str, Any] = await get
        self._client.keep(text for name, text in _decoded(message.get("headers", [])) if name == "set-cookie")
        return message

    async def send(self, text: str) -> None:
        """Send a text."""
        await self._to_app.put({"type": "websocket.receive", "text": text})

    async def close(self) -> None:
        """Close, and wait for the application."""
        await self._to_app.put({"type": "websocket.disconnect", "code": 1000})
        await self.task


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
