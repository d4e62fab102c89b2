"""The load generator of the suite web: HTTP/1.1 over keep-alive connections, with a cookie per session.

It is a process of its own, and does little for each request, so that it does not limit the applications.
"""

from __future__ import annotations

import asyncio
from itertools import cycle, repeat
from typing import Any

from benchmarks.peers.worker import Calls, Peer, main

VIEWS = ("nothing", "read", "count")


class Connection(asyncio.Protocol):
    """A connection that has one request in flight at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request in flight."""
        if not self._reply.done():
            self._reply.set_exception(error or ConnectionResetError("the server has closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Complete the request when its whole response has arrived."""
        self._received = received = self._received + data
        end = received.find(b"\r\n\r\n") + 4
        if end > 3 and len(received) >= end + int(header(received, b"content-length") or 0):
            self._received = b""
            self._reply.set_result(received)

    async def request(self, view: str, cookie: bytes) -> bytes:
        """Send a request, and return its response with its headers."""
        self._reply = asyncio.get_running_loop().create_future()
        line = b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\n" % view.encode()
        self._transport.write(line + (b"Cookie: %b\r\n\r\n" % cookie if cookie else b"\r\n"))
        response = await self._reply
        if not response.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{view}: {response.decode(errors='replace')}")
        return response

    def close(self) -> None:
        """Close the connection."""
        self._reply.cancel()
        self._transport.abort()


def header(response: bytes, name: bytes) -> bytes:
    """Return the value of a response's header, or nothing."""
    head = response[: response.find(b"\r\n\r\n") + 2]
    start = head.lower().find(b"\r\n%b:" % name)
    return head[start + len(name) + 3 : head.find(b"\r\n", start + 2)].strip() if start >= 0 else b""


def cookie_of(response: bytes) -> bytes:
    """Return the cookie that a response sets, as a request sends it, or nothing."""
    return header(response, b"set-cookie").partition(b";")[0]


class WebLoad(Peer):
    """Clients of one application, which take turns to use `sessions` sessions."""

    operations = VIEWS
    package = "uvloop"

    async def start(self) -> None:
        """Connect, and create the sessions."""
        self._idle: list[Connection] = []
        self._cookies = [b""] * self.options["sessions"]
        for number in range(len(self._cookies)):
            await self._send("count", number)

    async def stop(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.close()

    async def _send(self, view: str, session: int) -> None:
        connection = self._idle.pop() if self._idle else await self._connect()
        response = await connection.request(view, self._cookies[session] if session >= 0 else b"")
        if session >= 0 and (cookie := cookie_of(response)):
            self._cookies[session] = cookie
        self._idle.append(connection)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self.options["port"])
        return connection

    def nothing(self) -> Calls:
        """Send requests without a cookie, for a view that does not use the session."""
        return (self._send("nothing", number) for number in repeat(-1))

    def read(self) -> Calls:
        """Read sessions."""
        return (self._send("read", number) for number in cycle(range(len(self._cookies))))

    def count(self) -> Calls:
        """Count a visit in one session after another."""
        return (self._send("count", number) for number in cycle(range(len(self._cookies))))


if __name__ == "__main__":
    main(WebLoad)
