"""A receiver of webhooks on the loopback: records the raw bytes of each request, and responds as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
TIMEOUT = 30.0


def response(status: int, **headers: str) -> bytes:
    """Return an empty response."""
    lines = [f"HTTP/1.1 {status} Reason", "Content-Length: 0"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True)
class Received:
    """A request: its headers, with names in lower case, and its bytes."""

    path: str
    headers: dict[str, str]
    body: bytes
    raw: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return json.loads(self.body)


Respond = Callable[[Received], bytes | Awaitable[bytes]]


class Receiver:
    """A server that records requests.

    Attributes:
        url: of the receiver.
        requests: that have arrived.
        respond: returns the response to a request, raw.
        sent: bytes of responses that were written.
        open: number of requests that wait for a response; `most_open` is the highest such number.

    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Received] = []
        self.respond: Respond = lambda _: OK
        self.sent = self.open = self.most_open = 0

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [request.json() for request in self.requests]

    async def wait_for(self, number: int) -> None:
        """Wait until so many requests have arrived."""
        await wait_until(lambda: len(self.requests) >= number, lambda: f"{len(self.requests)} of {number} requests")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._serve_one(reader, writer)
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(first.split()[1], headers, body, head + body)
        self.requests.append(received)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            found = self.respond(received)
            answer = found if isinstance(found, bytes) else await found
        finally:
            self.open -= 1
        for first_byte in range(0, len(answer), 65536):
            writer.write(answer[first_byte : first_byte + 65536])
            await writer.drain()
            self.sent += len(answer[first_byte : first_byte + 65536])


async def wait_until(condition: Callable[[], bool], state: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(TIMEOUT):
            while not condition():  # noqa: ASYNC110  (conditions have no event)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"the condition did not come true: {state()}") from None


@asynccontextmanager
async def receiving(port: int = 0, tls: Any = None) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
