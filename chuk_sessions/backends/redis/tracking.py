"""Tracked reads on Redis: one tracked connection per node, for one cache in one event loop."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Any, cast

from ...core import boot_clock
from ...core.operation import Call, Reply
from ...core.tracking import Observer, OnReply, Source
from .client import Client
from .net.node import Node
from .net.resp import NotSentError, ReplyError, ReplyLostError, pack
from .net.tracked_connection import TrackedConnection
from .options import Options
from .retry import RetryLoop
from .topology.background import BackgroundTasks
from .topology.base import Topology
from .topology.slots import slot_of

_MIN_PAUSE, _MAX_PAUSE = 0.1, 1.0
"""Seconds between two attempts to connect, doubled with each failure."""

_LONG_PAUSE = 60.0
"""Seconds until the next attempt at a server that cannot track."""

_MIN_SILENCE = 0.5
"""Seconds without a reply to a heartbeat after which a connection is closed, at least."""

_TRACKING_ON = pack((b"CLIENT", b"TRACKING", b"ON"))
_REFUSES_CANARY = frozenset({"NOPERM", "OOM", "MISCONF", "NOREPLICAS", "ERR"})


class CannotTrackError(Exception):
    """The error of a server that cannot report changes."""


class NodeTracking:
    """The tracked connection to one node, and the attempts to open it.

    Attributes:
        node: the node.
        connection: the connection, if reports arrive on it.
        why_off: why there is none.

    """

    def __init__(self, node: Node, options: Options, observer: Observer, max_staleness: float) -> None:
        self.node = node
        self.connection: TrackedConnection | None = None
        self.why_off = "no tracked connection has been opened yet"
        self._options = options
        self._observer = observer
        self._max_staleness = max_staleness
        self._opening: TrackedConnection | None = None
        self._not_before = 0.0
        self._pause = _MIN_PAUSE

    @property
    def is_open(self) -> bool:
        """Whether reports arrive."""
        return self.connection is not None and self.connection.close_reason is None

    def should_open(self, now: float) -> bool:
        """Return whether it is time for an attempt to connect."""
        if self.connection is not None and self.connection.close_reason is not None:
            self.why_off = f"the tracked connection was lost: {self.connection.close_reason}"
            self.connection = None
        return self.connection is None and self._opening is None and now >= self._not_before

    async def open(self, record: str, slotted: bool) -> None:
        """Try to open the connection, to read this record."""
        loop = asyncio.get_running_loop()
        silence = min(max(2 * self._max_staleness, _MIN_SILENCE), self._options.call_timeout / 2)
        self._opening = connection = TrackedConnection(self._observer, self._max_staleness, silence)
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._set_up(connection, record, slotted)
            self.connection, self._pause = connection, _MIN_PAUSE
        except (CannotTrackError, NotSentError, ReplyLostError, ReplyError, TimeoutError) as error:
            self.why_off = str(error) or "the server took too long to enable tracking"
            pause = _LONG_PAUSE if isinstance(error, CannotTrackError) else self._pause
            self._not_before, self._pause = loop.time() + pause, min(_MAX_PAUSE, 2 * self._pause)
        finally:
            self._opening = None
            if self.connection is not connection:
                connection.abort(ConnectionAbortedError(self.why_off))

    def close(self, reason: str) -> None:
        """Close the connection."""
        for connection in (self.connection, self._opening):
            if connection is not None:
                connection.abort(ConnectionAbortedError(reason))

    def abandon(self) -> None:
        """Forget the connection in a forked child."""
        for connection in (self.connection, self._opening):
            if connection is not None:
                connection.abandon()

    async def _set_up(self, connection: TrackedConnection, record: str, slotted: bool) -> None:
        """Connect, enable tracking, and check that reports arrive.

        A server without RESP3 replies OK to CLIENT TRACKING, and never reports anything.
        """
        if self._options.protocol == 2:
            raise CannotTrackError("the settings ask for RESP2, which has no reports of changes")
        if await self.node.open_tracked(connection) != 3:
            raise CannotTrackError("the server does not speak RESP3, which reports of changes need")
        try:
            await connection.call(_TRACKING_ON)
        except ReplyError as refused:
            raise CannotTrackError(f"the server refuses CLIENT TRACKING: {refused}") from refused
        if slotted:
            connection.probe_slot_of(record)
        connection.start_heartbeats()
        await self._check_reports(connection, record)
        if connection.close_reason is not None:
            raise NotSentError(str(connection.close_reason))

    async def _check_reports(self, connection: TrackedConnection, record: str) -> None:
        """Read a key on the tracked connection, write it on another one, and wait for the report. A proxy that shares
        connections to the server among its clients would lose it.
        """
        key = f"{record.partition('/')[0]}/canary/{secrets.token_hex(8)}"
        report = connection.expect_report(key)
        deadline = asyncio.get_running_loop().time() + self._options.call_timeout
        try:
            await connection.call(pack((b"HMGET", key, b"d")))
            await self.node.call(((b"HSET", key, b"v", 1), (b"PEXPIRE", key, 10_000)), deadline, internal=True)
            await self.node.call(((b"DEL", key),), deadline, internal=True)
        except ReplyError as refused:
            if refused.code not in _REFUSES_CANARY:
                raise
            return
        try:
            async with asyncio.timeout(self._options.call_timeout / 2):
                await report
        except TimeoutError:
            raise CannotTrackError("reports of changes do not arrive: is there a proxy before the server?") from None


class Tracking:
    """The tracked connections of one cache in one event loop. See `core.tracking.TrackedReads`."""

    def __init__(self, client: Client, options: Options, observer: Observer, max_staleness: float) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._topology: Topology | None = None
        self._nodes: dict[Node, NodeTracking] = {}
        self._new_node = partial(NodeTracking, options=options, observer=observer, max_staleness=max_staleness)
        self._tasks = BackgroundTasks()
        self._closed = False

    def source_for(self, record: str) -> Source | None:
        """Return the connection to the server that has the record, or None if there is none yet."""
        topology = self._client.topology()
        if topology is not self._topology:
            self._topology, self._nodes = topology, {}
        node = topology.cached_route(slot_of(record) if topology.slotted else None)
        if node is None or node.closed or self._closed:
            return None
        tracked = self._nodes.get(node)
        if tracked is None:
            self._nodes = {known: other for known, other in self._nodes.items() if not known.closed}
            tracked = self._nodes[node] = self._new_node(node)
        if tracked.connection is not None and tracked.is_open:
            # Without a lease, a reply may take long. The connections that other calls use may be better.
            return tracked.connection if boot_clock.now() < tracked.connection.lease_until else None
        if tracked.should_open(self._loop.time()):
            self._tasks.spawn(tracked.open(record, topology.slotted))
        return None

    def send(self, source: Source, call: Call, on_reply: OnReply) -> None:
        """Send a read. `on_reply` is called exactly once."""
        connection = cast(TrackedConnection, source)

        def on_any_reply(reply: Any) -> None:
            # The server may not serve this record any more (MOVED), or none at all.
            if isinstance(reply, ReplyError) and reply.code != "NOSCRIPT":
                connection.flush()
            on_reply(reply)

        connection.send(self._client.pack_evalsha(call), on_any_reply)

    def deadline(self) -> float:
        """Return the time by which a call that begins now has to return."""
        return self._loop.time() + self._client.timeout

    async def repeat(self, source: Source, call: Call, failure: Exception, deadline: float) -> Reply:
        """Repeat a failed read on the connections that other calls use. Raises as `Backend.run`."""
        request = self._client.request_for(call, None, False)
        # The loss of a tracked connection says nothing about the node's other connections.
        node = self._node_of(source) if isinstance(failure, ReplyError) else None
        reply, _ = await RetryLoop(self._client, request, deadline).run(failure, self._client.topology(), node)
        return reply if isinstance(reply, list) else [reply]

    def is_tracking(self) -> bool:
        """Return whether there is a tracked connection at present."""
        return any(tracked.is_open for tracked in self._nodes.values())

    @property
    def why_off(self) -> str:
        """The reason why there is no tracked connection."""
        reasons = [tracked.why_off for tracked in self._nodes.values() if not tracked.is_open]
        return reasons[0] if reasons else "no session has been read yet"

    def abandon(self) -> None:
        """Forget all connections in a forked child, without closing them."""
        self._closed = True
        for tracked in self._nodes.values():
            tracked.abandon()

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        self._tasks.cancel()
        for tracked in self._nodes.values():
            tracked.close("the cache was closed")

    def _node_of(self, source: Any) -> Node | None:
        found = (tracked.node for tracked in self._nodes.values() if tracked.connection is source)
        return next((node for node in found if not node.closed), None)
