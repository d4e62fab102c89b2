"""Messages of ASGI: their types, and what the applications of this package do with them alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyTooLargeError(Exception):
    """The body of a request has more bytes than the application takes."""


class DisconnectedError(Exception):
    """The client has closed the connection before its request was complete."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the body of a request. Raises BodyTooLargeError for more than `limit` bytes, and DisconnectedError."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLargeError
        if not message.get("more_body", False):
            return body


async def serve_lifespan(receive: Receive, send: Send) -> None:
    """Confirm the start and the end of the server, of an application that does nothing then."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
