"""A proxy between a client and a server. It adds TLS, which the server lacks, and injects faults.

It runs in a thread with an event loop of its own. So a test's loop never waits for it, and it keeps forwarding while
the test's loop is busy.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

_CHUNK = 65536
_TLS_HANDSHAKE = b"\x16"
_PATIENCE = 10.0


@dataclass
class Losses:
    """Requests whose replies are discarded.

    Attributes:
        pattern: bytes of the request, such as a script's SHA-1; empty means every request.
        left: how many further requests are affected. Requests that arrive in one read count as one.
        cut: cut the connection when the reply arrives, that is, after execution. Otherwise it stays open, silent.
        met: how many replies have been discarded so far.

    """

    pattern: bytes = b""
    left: int = 0
    cut: bool = True
    met: int = 0


@dataclass(eq=False)
class _Pair:
    """A client's connection and the corresponding connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    encrypted: bool
    losing: Losses | None = None
    dropped: bool = False

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass(eq=False)
class Proxy:
    """A forwarder from a loopback port to `127.0.0.1:upstream_port`, as a context manager. Any thread may change the
    attributes at any time.

    Attributes:
        upstream_port: the server's port.
        tls: speak TLS to clients with this context.
        plain_too: with `tls`, also accept connections without TLS, for the traffic among servers.
        fragment: write at most that many bytes at once; 0 forwards data unchanged.
        delay: seconds to wait before each part of a reply is forwarded.
        frozen: forward nothing; connections are accepted and stay open.
        refusing: close new connections at once.
        connections: how many were accepted.
        forwarded: collects all data that is forwarded, in both directions, if given.
        plainly: data that clients sent without TLS although `tls` is set.

    """

    upstream_port: int
    tls: ssl.SSLContext | None = None
    plain_too: bool = False
    fragment: int = 0
    delay: float = 0.0
    frozen: bool = False
    refusing: bool = False
    connections: int = 0
    forwarded: bytearray | None = None
    plainly: list[bytes] = field(default_factory=list)
    port: int = 0
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        self._holding = b""
        self._held: list[bytes] = []
        self._clients: set[socket.socket] = set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._in_proxy_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_proxy_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lose_replies(self, times: int = 1, pattern: bytes = b"", *, cut: bool = True) -> Losses:
        """Forward the next requests with that pattern, and discard their replies."""
        self.losses = Losses(pattern, times, cut)
        return self.losses

    def hold(self, pattern: bytes) -> None:
        """Hold back the next request with that pattern. For its client, the connection breaks."""
        self._holding, self._held = pattern, []

    def release(self) -> bytes:
        """Send the held request to the server. Return its reply."""
        return bytes(self._in_proxy_loop(self._release()))

    def cut(self) -> int:
        """Cut all connections. Return how many there were."""
        return int(self._in_proxy_loop(self._cut()))

    def drop(self) -> int:
        """Stop forwarding on the open connections without closing them, as a firewall does that has forgotten them. New
        connections work. Return how many were open.
        """
        pairs = list(self._pairs)
        for pair in pairs:
            pair.dropped = True
        return len(pairs)

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._pairs)

    def _in_proxy_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        # Not a task: it could be canceled with a connection that it has just accepted.
        self._loop.add_reader(self._socket, self._accept)

    async def _stop(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Aborted transports close their sockets in the next iteration of the event loop.
        await asyncio.sleep(0.01)
        # A task that was canceled before its first step has closed nothing.
        for client in self._clients:
            client.close()

    async def _release(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        writer.write(b"".join(self._held) + b"PING\r\n")
        replies = await reader.readuntil(b"+PONG\r\n")
        writer.close()
        return replies.removesuffix(b"+PONG\r\n")

    async def _cut(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.abort()
        return len(pairs)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:  # its client has left
            return
        client.setblocking(False)
        self.connections += 1
        if self.refusing:
            client.close()
        else:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients.add(client)
            self._start(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        try:
            reader, writer, encrypted = await self._shake_hands(client)
        except (OSError, EOFError, asyncio.CancelledError):
            client.close()
            return
        finally:
            self._clients.discard(client)
        try:
            await self._join(reader, writer, encrypted)
        except* (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    async def _shake_hands(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bool]:
        encrypted = self.tls is not None
        if encrypted and self.plain_too:
            await _readable(self._loop, client)
            encrypted = client.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: protocol, client, ssl=self.tls if encrypted else None
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop), encrypted

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, encrypted: bool) -> None:
        replies, server = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        pair = _Pair(writer, server, encrypted)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, pair))
                group.create_task(self._replies(replies, pair))
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _requests(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        while data := await reader.read(_CHUNK):
            await self._thaw()
            if self.tls is not None and not pair.encrypted:
                self.plainly.append(data)
            if pair.dropped:
                continue
            if self._holding and self._holding in data:
                self._holding = b""
                self._held.append(data)
                break
            losses = self.losses
            if losses.left and losses.pattern in data:
                losses.left -= 1
                pair.losing = losses
            await self._write(pair.server, data)
        raise EOFError

    async def _replies(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        while data := await reader.read(_CHUNK):
            await self._thaw()
            if pair.dropped:
                continue
            if pair.losing is not None:
                pair.losing.met += 1
                if pair.losing.cut:
                    raise EOFError
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._write(pair.client, data)
        raise EOFError

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.forwarded is not None:
            self.forwarded += data
        size = self.fragment or len(data)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if self.fragment:
                await asyncio.sleep(0)

    async def _thaw(self) -> None:
        while self.frozen:  # noqa: ASYNC110  (a plain field, which any thread sets)
            await asyncio.sleep(0.005)


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock, _set, ready)
    try:
        await ready
    finally:
        with suppress(OSError):
            loop.remove_reader(sock)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
