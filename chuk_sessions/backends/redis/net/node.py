"""A node: one server as one event loop sees it, with its links."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from ..options import Address, Options
from .circuit_breaker import CircuitBreaker
from .connection import Connection
from .connection_slot import ConnectionSlot, Trouble
from .connector import Connector
from .group_commit import GroupCommit
from .limiter import InFlightLimiter
from .reauth import subscribe
from .reply_window import ReplyWindow
from .resp import Command, Group, NotSentError, ReplyError, ReplyLostError, pack


class NodeStats(NamedTuple):
    """How a node is doing.

    Attributes:
        address: of the node.
        links: open connections.
        in_flight: calls under way.
        bytes_in_flight: their packed size.
        waiting: calls that wait for others to end.
        reconnects: how often a lost connection has been opened again.
        last_error: why the last connection was lost or not to be had, as text; None when one has been opened since.
        last_error_at: when that was, in UTC; None without an error.

    """

    address: Address
    connections: int
    in_flight: int
    bytes_in_flight: int
    waiting: int
    reconnects: int
    last_error: str | None
    last_error_at: datetime | None = None


class Node:
    """One server. Belongs to the event loop that it was made in; opens connections when they are first needed.

    With `circuit`, attempts to connect go on in the background once one has failed, and calls fail at once when there
    has been no connection for longer than the call timeout.

    Attributes:
        address: of the server.
        closed: whether `aclose()` or `abort()` was called.
        script_sent_at: when a call last brought a script's text, by the script's SHA-1; times of the event loop's clock.
        on_reconnect_attempt: is called with each of those attempts.

    """

    def __init__(
        self, address: Address, options: Options, opener: Connector | None = None, *, circuit: bool = False
    ) -> None:
        self.address = address
        self.on_reconnect_attempt: Callable[[], object] | None = None
        self._options = options
        self._bulk_bytes = options.bulk_bytes
        self._limiter = InFlightLimiter(options.max_in_flight, options.max_bytes)
        opener = opener or Connector(address, options)
        self._opener = opener
        self._breaker: CircuitBreaker | None = None
        if circuit:
            self._breaker = CircuitBreaker(str(address), options.call_timeout, self._try_again, opener.hint)
        self._connection_slots = [
            ConnectionSlot(opener, options, self._limiter, self._breaker) for _ in range(options.connections)
        ]
        self._bulk = ConnectionSlot(opener, options, self._limiter, self._breaker)
        self._windows: defaultdict[str, ReplyWindow] = defaultdict(ReplyWindow)
        self._all = [*self._connection_slots, self._bulk]
        self._durable = GroupCommit(self._add_lane, str(address), options)
        self._only = self._connection_slots[0] if options.connections == 1 else None
        self.closed = False
        self.script_sent_at: dict[bytes, float] = {}
        self._loop = asyncio.get_running_loop()
        self._call_timeout = options.call_timeout
        subscribe(options.credentials, self)

    def try_call(self, packed: bytes, deadline: float, large: str = "") -> asyncio.Future[Any] | None:
        """Send a packed command like `call`, without blocking. Return None if that would block."""
        link = self._only.connection if self._only is not None else None
        if link is None or deadline > link.usable_until:
            return None
        size = len(packed)
        if large:
            window = self._windows[large]
            if window.calls >= window.limit or not self._limiter.try_acquire(size):
                return None
            window.calls += 1
            return link.send(packed, deadline, size, 0, window)
        if size >= self._bulk_bytes or not self._limiter.try_acquire(size):
            return None
        return link.send(packed, deadline, size)

    async def call(self, group: Group, deadline: float, *, internal: bool = False, large: str = "") -> Any:
        """The reply of the last command of the group. Its commands are sent with nothing between them.

        `deadline` is a time of the event loop's clock. An `internal` call does not wait for others to end.
        `large` names the operation if its reply can be large: how large is learned under that name.

        Raises:
            ReplyError: the server answered the last command with an error, or refuses the connection.
            NotSentError: there was no connection, or no room, by the deadline. Nothing was sent.
            LostError: the reply was lost, or has not come by the deadline.

        """
        packed = pack(group[0]) if len(group) == 1 else b"".join(map(pack, group))
        if large:
            return await self._call_large(packed, deadline, len(group) - 1, self._windows[large])
        size = 0 if internal else len(packed)
        if size and not self._limiter.try_acquire(size):
            await self._limiter.acquire(size, deadline)
        lane = self._only or min(self._connection_slots, key=_load)
        if len(packed) >= self._bulk_bytes:
            lane = self._bulk
        link = lane.connection
        if link is None or deadline > link.usable_until:
            link = await self._link(lane, deadline, size)
        return await link.send(packed, deadline, size, len(group) - 1)

    async def query(self, command: Command, patience: float) -> Any:
        """Return the reply to a question that the client asks for itself. Raises what `call` does, and LostError when
        there is no reply within `patience` seconds.

        The connection allows it the time of any call. So a server that is slow loses no connection, and none of the
        calls under way on it, because the client wants to know something sooner.
        """
        try:
            async with asyncio.timeout(patience):
                return await self.call((command,), self._loop.time() + self._call_timeout, internal=True)
        except TimeoutError:
            raise ReplyLostError(f"no answer from {self.address} within {patience:g} s") from None

    async def _call_large(self, packed: bytes, deadline: float, skip: int, window: ReplyWindow) -> Any:
        """Send a call whose reply can be large, when its window admits it: on the connection for large calls if it is
        expected to be.
        """
        size = len(packed)
        if not window.try_acquire(0):
            await window.acquire(0, deadline)
        try:
            if not self._limiter.try_acquire(size):
                await self._limiter.acquire(size, deadline)
            lane = self._bulk if window.expected_size else self._only or min(self._connection_slots, key=_load)
            link = lane.connection
            if link is None or deadline > link.usable_until:
                link = await self._link(lane, deadline, size)
        except BaseException:
            window.release(1, 0)
            raise
        return await link.send(packed, deadline, size, skip, window)

    async def call_durably(self, group: Group, deadline: float) -> Any:
        """Return the same once as many replicas have what it wrote as the options want. Raises NotReplicatedError, too.

        WAIT holds up what is sent after it, so these calls have connections of their own.
        """
        packed = b"".join(map(pack, group))
        size = len(packed)
        if not self._limiter.try_acquire(size):
            await self._limiter.acquire(size, deadline)
        lane = self._durable.lane()
        while (link := lane.connection) is None or (deadline > link.usable_until and not link.has_callers):
            await self._link(lane, deadline, size)
            # Others may have had the same connection opened, and its WAIT may be under way by now.
            lane = self._durable.lane()
        return await self._durable.call(lane, packed, deadline, size, len(group) - 1)

    @property
    def connected(self) -> bool:
        """Whether the connection that calls take first has been opened and not been lost since."""
        link = self._connection_slots[0].connection
        return link is not None and link.close_reason is None

    def open_connections(self) -> list[Connection]:
        """Return the connections that are open now."""
        return [
            lane.connection
            for lane in self._all
            if lane.connection is not None and lane.connection.close_reason is None
        ]

    def replacement(self) -> Node:
        """Return a node with new connections to the same name, which need not lead to the same server any more. It goes
        on with the count of reconnects.
        """
        node = Node(self.address, self._options, self._opener, circuit=self._breaker is not None)
        for new, old in zip(node._all, self._all, strict=False):
            new.opened = old.opened
        return node

    def stats(self) -> NodeStats:
        """How it is doing now."""
        lanes = self._all
        trouble = self._trouble()
        return NodeStats(
            self.address,
            sum(lane.connection is not None and lane.connection.close_reason is None for lane in lanes),
            self._limiter.calls,
            self._limiter.bytes,
            self._limiter.waiting + sum(window.waiting for window in self._windows.values()),
            sum(max(0, lane.opened - 1) for lane in lanes),
            None if trouble is None else str(trouble.why) or type(trouble.why).__name__,
            None if trouble is None else datetime.now(UTC) - timedelta(seconds=time.monotonic() - trouble.at),
        )

    def _trouble(self) -> Trouble | None:
        """Return the newest trouble of any lane, unless a connection has been opened since."""
        opened_at = max(lane.opened_at for lane in self._all)
        troubles = [lane.trouble for lane in self._all if lane.trouble is not None and lane.trouble.at >= opened_at]
        return max(troubles, key=lambda trouble: trouble.at, default=None)

    async def aclose(self) -> None:
        """Let calls under way have their replies, then close. Later calls raise NotSentError."""
        self._close()
        self._durable.stop_collecting()
        await asyncio.gather(*(lane.aclose() for lane in self._all))

    def abort(self) -> None:
        """Close at once: calls under way raise LostError or NotSentError."""
        self._close()
        for lane in self._all:
            lane.abort()

    def reauthenticate(self, username: str, password: str) -> None:
        """Log in anew on all open connections. Called in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._renew, pack((b"AUTH", username, password)))

    def _renew(self, packed: bytes) -> None:
        for lane in self._all:
            if lane.connection is not None and lane.connection.close_reason is None:
                reply = lane.connection.send(packed, self._loop.time() + self._call_timeout)
                reply.add_done_callback(partial(_renewed, lane.connection))

    def _close(self) -> None:
        self.closed = True
        if self._breaker is not None:
            self._breaker.reset()

    def _try_again(self) -> None:
        failing = next((lane for lane in self._all if lane.failing), self._connection_slots[0])
        if failing.connection is None or failing.connection.close_reason is not None:
            failing.start()
        if self.on_reconnect_attempt is not None:
            self.on_reconnect_attempt()

    def _add_lane(self) -> ConnectionSlot:
        lane = ConnectionSlot(self._opener, self._options, self._limiter, self._breaker)
        self._all.append(lane)
        if self.closed:
            lane.abort()
        return lane

    async def _link(self, lane: ConnectionSlot, deadline: float, size: int) -> Connection:
        try:
            link = await self._ready(lane, deadline)
            if link.close_reason is not None:
                raise NotSentError("the connection broke as it was opened") from link.close_reason
            return link
        except BaseException:
            if size:
                self._limiter.release(1, size)
            raise

    async def _ready(self, lane: ConnectionSlot, deadline: float) -> Connection:
        if self._breaker is None:
            return await lane.ready(deadline)
        self._breaker.raise_if_open()
        try:
            return await lane.ready(min(deadline, self._breaker.opens_at))
        except NotSentError:
            self._breaker.raise_if_open()
            raise


def _renewed(link: Connection, reply: asyncio.Future[Any]) -> None:
    failure = None if reply.cancelled() else reply.exception()
    if isinstance(failure, ReplyError | NotSentError):
        # Another connection asks the provider, and may have more luck.
        link.abort(ConnectionError(f"the server does not take the renewed credentials: {failure}"))


def _load(lane: ConnectionSlot) -> int:
    return lane.connection.in_flight if lane.connection is not None else 0


__all__ = ["Address", "Node", "NodeStats", "NotSentError", "Options", "ReplyError", "ReplyLostError"]
