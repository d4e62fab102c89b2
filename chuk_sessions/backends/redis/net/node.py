"""A node: one server as one event loop sees it, with its connections."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from ..options import Address, Options
from .circuit_breaker import CircuitBreaker
from .connection import Connection
from .connection_slot import ConnectionSlot
from .connector import Connector
from .group_commit import GroupCommit
from .limiter import InFlightLimiter
from .node_stats import NodeStats, node_stats
from .reauth import subscribe
from .reply_window import ReplyWindow
from .resp import Command, Group, NotSentError, ReplyError, ReplyLostError, pack
from .tracked_connection import TrackedConnection


class Node:
    """One server. Belongs to the event loop in which it was created. Opens connections on demand.

    With `circuit`, a failed attempt to connect is retried in the background, and calls fail at once when there has been
    no connection for longer than the call timeout.

    Attributes:
        address: the server's address.
        closed: whether `aclose()` or `abort()` was called.
        script_sent_at: when a call last sent a script's text (a time of the event loop's clock), by the script's SHA-1.
        on_reconnect_attempt: called with each attempt in the background; None calls nothing.

    """

    def __init__(
        self, address: Address, options: Options, connector: Connector | None = None, *, circuit: bool = False
    ) -> None:
        self.address = address
        self.closed = False
        self.script_sent_at: dict[bytes, float] = {}
        self.on_reconnect_attempt: Callable[[], object] | None = None
        self._options = options
        self._bulk_bytes = options.bulk_bytes
        self._call_timeout = options.call_timeout
        self._loop = asyncio.get_running_loop()
        self._limiter = InFlightLimiter(options.max_in_flight, options.max_bytes)
        self._connector = connector or Connector(address, options)
        self._breaker: CircuitBreaker | None = None
        if circuit:
            hint = self._connector.timeout_hint
            self._breaker = CircuitBreaker(str(address), options.call_timeout, self._reconnect, hint)
        self._all_connection_slots: list[ConnectionSlot] = []
        self._connection_slots = [self._add_connection_slot() for _ in range(options.connections)]
        self._bulk = self._add_connection_slot()
        self._only = self._connection_slots[0] if options.connections == 1 else None
        self._reply_windows: defaultdict[str, ReplyWindow] = defaultdict(ReplyWindow)
        self._tracked: set[TrackedConnection] = set()
        self._group_commit = GroupCommit(self._add_connection_slot, str(address), options)
        subscribe(options.credentials, self)

    # Calls

    def try_call(self, packed: bytes, deadline: float, large: str = "") -> asyncio.Future[Any] | None:
        """Send a packed command like `call`, without blocking. Return None if that would block."""
        connection = self._only.connection if self._only is not None else None
        if connection is None or deadline > connection.usable_until:
            return None
        size = len(packed)
        if large:
            window = self._reply_windows[large]
            if window.calls >= window.limit or not self._limiter.try_acquire(size):
                return None
            window.calls += 1
            return connection.send(packed, deadline, size, 0, window)
        if size >= self._bulk_bytes or not self._limiter.try_acquire(size):
            return None
        return connection.send(packed, deadline, size)

    async def call(self, group: Group, deadline: float, *, internal: bool = False, large: str = "") -> Any:
        """Send the commands of the group with nothing between them. Return the reply to the last one.

        Args:
            group: the commands.
            deadline: a time of the event loop's clock.
            internal: send a command of the library itself, which bypasses the in-flight limiter.
            large: the operation's name if its reply can be large. The node learns the sizes of replies by this name.

        Raises:
            ReplyError: the server replied to the last command with an error, or refused the connection.
            NotSentError: there was no connection or no room in flight by the deadline. Nothing was sent.
            ReplyLostError: the reply was lost, or did not arrive by the deadline.

        """
        packed = pack(group[0]) if len(group) == 1 else b"".join(map(pack, group))
        if large:
            return await self._call_large(packed, deadline, len(group) - 1, self._reply_windows[large])
        size = 0 if internal else len(packed)
        if size and not self._limiter.try_acquire(size):
            await self._limiter.acquire(size, deadline)
        connection_slot = self._only or self._least_loaded_slot()
        if len(packed) >= self._bulk_bytes:
            connection_slot = self._bulk
        connection = connection_slot.connection
        if connection is None or deadline > connection.usable_until:
            connection = await self._get_connection(connection_slot, deadline, size)
        return await connection.send(packed, deadline, size, len(group) - 1)

    async def query(self, command: Command, reply_timeout: float) -> Any:
        """Return the reply to a query of the library itself.

        Raises the errors of `call`, and ReplyLostError if there is no reply within `reply_timeout` seconds.

        The connection allows the query as much time as any call. Therefore a slow server does not lose its connection,
        and the calls in flight on it, because the library wants to know something sooner.
        """
        try:
            async with asyncio.timeout(reply_timeout):
                return await self.call((command,), self._loop.time() + self._call_timeout, internal=True)
        except TimeoutError:
            raise ReplyLostError(f"no reply from {self.address} within {reply_timeout:g} s") from None

    async def _call_large(self, packed: bytes, deadline: float, skip: int, window: ReplyWindow) -> Any:
        """Send a call whose reply can be large once its window admits it. If a large reply is expected, use the
        connection for large calls.
        """
        size = len(packed)
        if not window.try_acquire(0):
            await window.acquire(0, deadline)
        try:
            if not self._limiter.try_acquire(size):
                await self._limiter.acquire(size, deadline)
            connection_slot = self._bulk if window.expected_size else self._only or self._least_loaded_slot()
            connection = connection_slot.connection
            if connection is None or deadline > connection.usable_until:
                connection = await self._get_connection(connection_slot, deadline, size)
        except BaseException:
            window.release(1, 0)
            raise
        return await connection.send(packed, deadline, size, skip, window)

    async def call_durably(self, group: Group, deadline: float) -> Any:
        """Send the commands like `call`. Return the reply once `wait_replicas` replicas have the writes.

        Raises the errors of `call`, and NotReplicatedError. WAIT blocks the commands after it, so these calls have
        connections of their own.
        """
        packed = b"".join(map(pack, group))
        size = len(packed)
        if not self._limiter.try_acquire(size):
            await self._limiter.acquire(size, deadline)
        connection_slot = self._group_commit.free_connection_slot()
        while _needs_connection(connection_slot, deadline):
            await self._get_connection(connection_slot, deadline, size)
            # Other calls may have waited for the same connection, and their WAIT may be in progress now.
            connection_slot = self._group_commit.free_connection_slot()
        return await self._group_commit.call(connection_slot, packed, deadline, size, len(group) - 1)

    async def _get_connection(self, connection_slot: ConnectionSlot, deadline: float, size: int) -> Connection:
        """Return a usable connection. On failure, release what the call holds in the in-flight limiter."""
        try:
            connection = await self._wait_for_connection(connection_slot, deadline)
            if connection.close_reason is not None:
                raise NotSentError("the connection broke while it was opened") from connection.close_reason
            return connection
        except BaseException:
            if size:
                self._limiter.release(1, size)
            raise

    async def _wait_for_connection(self, connection_slot: ConnectionSlot, deadline: float) -> Connection:
        """Wait for a connection until the deadline, or until the circuit opens. The circuit does not concern an open
        connection, which only needs a probe: perhaps only a further connection cannot be opened.
        """
        if self._breaker is None or connection_slot.is_connected:
            return await connection_slot.get_connection(deadline)
        self._breaker.raise_if_open()
        try:
            return await connection_slot.get_connection(min(deadline, self._breaker.opens_at))
        except NotSentError:
            self._breaker.raise_if_open()
            raise

    # State

    @property
    def connected(self) -> bool:
        """Whether the connection that calls use first is open."""
        connection = self._connection_slots[0].connection
        return connection is not None and connection.close_reason is None

    def open_connections(self) -> list[Connection]:
        """Return the open connections."""
        connections = (connection_slot.connection for connection_slot in self._all_connection_slots)
        return [connection for connection in connections if connection is not None and connection.close_reason is None]

    def stats(self) -> NodeStats:
        """Return the node's current figures."""
        return node_stats(self.address, self._all_connection_slots, self._limiter, self._reply_windows.values())

    def replacement(self) -> Node:
        """Return a node with new connections to the same address, which may reach another server by now. It continues
        this node's count of reconnects.
        """
        node = Node(self.address, self._options, self._connector, circuit=self._breaker is not None)
        for new, old in zip(node._all_connection_slots, self._all_connection_slots, strict=False):
            new.connections_opened = old.connections_opened
        # Slots that were added on demand have no counterpart yet.
        added = self._all_connection_slots[len(node._all_connection_slots) :]
        reconnects = sum(max(0, old.connections_opened - 1) for old in added)
        if reconnects:
            node._bulk.connections_opened = max(1, node._bulk.connections_opened) + reconnects
        return node

    # Tracked connections, which belong to caches

    async def open_tracked(self, connection: TrackedConnection) -> int:
        """Open a tracked connection, which is closed with this node. Return the version of RESP that it speaks.

        Raises NotSentError and ReplyError.
        """
        if self.closed:
            raise NotSentError("the connection is closed")
        self._tracked = {other for other in self._tracked if other.close_reason is None} | {connection}
        await self._connector.connect(connection)
        return self._connector.protocol

    def flush_tracked(self) -> None:
        """Report to caches that records of this node may have changed, because it may not serve them any more."""
        for connection in self._tracked:
            connection.flush()

    # Closing

    async def aclose(self) -> None:
        """Wait for the replies to the calls in flight, then close. Later calls raise NotSentError."""
        self._mark_closed()
        self._group_commit.stop_collecting()
        await asyncio.gather(*(connection_slot.aclose() for connection_slot in self._all_connection_slots))

    def abort(self) -> None:
        """Close at once. Calls in flight raise ReplyLostError or NotSentError."""
        self._mark_closed()
        for connection_slot in self._all_connection_slots:
            connection_slot.abort()

    def _mark_closed(self) -> None:
        self.closed = True
        for connection in self._tracked:
            connection.abort(ConnectionAbortedError("the connection is closed"))
        if self._breaker is not None:
            self._breaker.reset()

    # Connection slots

    def _least_loaded_slot(self) -> ConnectionSlot:
        """Return the slot for the next call: not one that fails to open its connection while another one has one."""
        connection_slot = min(self._connection_slots, key=_load)
        if connection_slot.failing and not self.closed:
            connected = [other for other in self._connection_slots if other.is_connected]
            if connected:
                connection_slot.start_opening()
                return min(connected, key=_load)
        return connection_slot

    def _add_connection_slot(self) -> ConnectionSlot:
        connection_slot = ConnectionSlot(self._connector, self._options, self._limiter, self._breaker)
        self._all_connection_slots.append(connection_slot)
        if self.closed:
            connection_slot.abort()
        return connection_slot

    def _reconnect(self) -> None:
        """Retry to connect in the background, during an outage."""
        failing = (connection_slot for connection_slot in self._all_connection_slots if connection_slot.failing)
        connection_slot = next(failing, self._connection_slots[0])
        if not connection_slot.is_connected:
            connection_slot.start_opening()
        if self.on_reconnect_attempt is not None:
            self.on_reconnect_attempt()

    def reauthenticate(self, username: str, password: str) -> None:
        """Send AUTH on all open connections. Thread-safe."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send_auth, pack((b"AUTH", username, password)))

    def _send_auth(self, packed: bytes) -> None:
        for connection in self.open_connections():
            reply = connection.send(packed, self._loop.time() + self._call_timeout)
            reply.add_done_callback(partial(_on_auth_reply, connection))
        for tracked in self._tracked:
            tracked.send(packed, partial(_on_tracked_auth_reply, tracked))


def _on_auth_reply(connection: Connection, reply: asyncio.Future[Any]) -> None:
    error = None if reply.cancelled() else reply.exception()
    if isinstance(error, ReplyError | NotSentError):
        # The next connection asks the provider itself, and may succeed.
        connection.abort(ConnectionError(f"the server rejected the renewed credentials: {error}"))


def _on_tracked_auth_reply(connection: TrackedConnection, reply: Any) -> None:
    if isinstance(reply, ReplyError):
        connection.abort(ConnectionError(f"the server rejected the renewed credentials: {reply}"))


def _needs_connection(connection_slot: ConnectionSlot, deadline: float) -> bool:
    """Return whether a durable call must wait for a new connection, or for a probe of an idle one."""
    connection = connection_slot.connection
    return connection is None or (deadline > connection.usable_until and not connection.has_callers)


def _load(connection_slot: ConnectionSlot) -> int:
    return connection_slot.connection.in_flight if connection_slot.connection is not None else 0


__all__ = ["Address", "Node", "NodeStats", "NotSentError", "Options", "ReplyError", "ReplyLostError"]
