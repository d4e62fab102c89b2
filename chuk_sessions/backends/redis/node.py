"""A node: one server as one event loop sees it, with its links."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from typing import Any, NamedTuple

from ...exceptions import NotReplicatedError
from .gate import Gate
from .lane import Lane
from .link import Link
from .options import Address, Options
from .renewals import follow
from .reply_window import ReplyWindow
from .takeover import Opener
from .wire import Group, LostError, NotSentError, ReplyError, pack


class NodeStats(NamedTuple):
    """How a node is doing.

    Attributes:
        address: of the node.
        links: open connections.
        in_flight: calls under way.
        bytes_in_flight: their packed size.
        waiting: calls that wait for others to end.
        reconnects: how often a lost connection has been opened again.
        last_error: why the last connection was lost or not to be had, as text; None when that never happened.

    """

    address: Address
    links: int
    in_flight: int
    bytes_in_flight: int
    waiting: int
    reconnects: int
    last_error: str | None


class Node:
    """One server. Belongs to the event loop that it was made in; opens connections when they are first needed."""

    def __init__(self, address: Address, options: Options, opener: Opener | None = None) -> None:
        self.address = address
        self._bulk_bytes = options.bulk_bytes
        self._gate = Gate(options.max_in_flight, options.max_bytes)
        opener = opener or Opener(address, options)
        self._lanes = [Lane(opener, options, self._gate) for _ in range(options.links)]
        self._bulk = Lane(opener, options, self._gate)
        self._windows: defaultdict[str, ReplyWindow] = defaultdict(ReplyWindow)
        self._durable = Lane(opener, options, self._gate)
        self._replicas = options.wait_replicas
        self._wait = pack((b"WAIT", options.wait_replicas, max(1, round(options.wait_timeout * 1000))))
        self._all = (*self._lanes, self._bulk, self._durable)
        self._only = self._lanes[0] if options.links == 1 else None
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._call_timeout = options.call_timeout
        follow(options.credentials, self)

    def start(self, packed: bytes, deadline: float, large: str = "") -> asyncio.Future[Any] | None:
        """Send a packed command like `call`, without blocking. Return None if that would block."""
        link = self._only.link if self._only is not None else None
        if link is None or deadline > link.usable_until:
            return None
        size = len(packed)
        if large:
            window = self._windows[large]
            if window.calls >= window.limit or not self._gate.enter(size):
                return None
            window.calls += 1
            return link.send(packed, deadline, size, 0, window)
        if size >= self._bulk_bytes or not self._gate.enter(size):
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
        if size and not self._gate.enter(size):
            await self._gate.wait(size, deadline)
        lane = self._only or min(self._lanes, key=_load)
        if len(packed) >= self._bulk_bytes:
            lane = self._bulk
        link = lane.link
        if link is None or deadline > link.usable_until:
            link = await self._link(lane, deadline, size)
        return await link.send(packed, deadline, size, len(group) - 1)

    async def _call_large(self, packed: bytes, deadline: float, skip: int, window: ReplyWindow) -> Any:
        """Send a call whose reply can be large, when its window admits it: on the connection for large calls if it is
        expected to be.
        """
        size = len(packed)
        if not window.enter(0):
            await window.wait(0, deadline)
        try:
            if not self._gate.enter(size):
                await self._gate.wait(size, deadline)
            lane = self._bulk if window.expected else self._only or min(self._lanes, key=_load)
            link = lane.link
            if link is None or deadline > link.usable_until:
                link = await self._link(lane, deadline, size)
        except BaseException:
            window.leave(1, 0)
            raise
        return await link.send(packed, deadline, size, skip, window)

    async def call_durably(self, group: Group, deadline: float) -> Any:
        """The same, once as many replicas have what it wrote as the options want. WAIT holds up whatever comes behind
        it, so this has a connection of its own. Raises NotReplicatedError, too.
        """
        packed = b"".join(map(pack, group))
        if not self._gate.enter(len(packed)):
            await self._gate.wait(len(packed), deadline)
        link = self._durable.link
        if link is None or link.lost is not None or (deadline > link.usable_until and not link.in_flight):
            link = await self._link(self._durable, deadline, len(packed))
        reply = link.send(packed, deadline, len(packed), len(group) - 1)
        have = link.send(self._wait, deadline)
        done: Any
        number: Any
        done, number = await asyncio.gather(reply, have, return_exceptions=True)
        if isinstance(done, BaseException):
            raise done
        # Whatever WAIT is answered with, the command before it was applied.
        if isinstance(number, LostError):
            raise number
        if isinstance(number, BaseException) or number < self._replicas:
            raise NotReplicatedError(f"{self._replicas} replicas of {self.address} should have it; WAIT said: {number}")
        return done

    @property
    def connected(self) -> bool:
        """Whether the connection that calls take first has been opened and not been lost since."""
        link = self._lanes[0].link
        return link is not None and link.lost is None

    def stats(self) -> NodeStats:
        """How it is doing now."""
        lanes = self._all
        errors = [lane.last_error for lane in lanes if lane.last_error is not None]
        return NodeStats(
            self.address,
            sum(lane.link is not None and lane.link.lost is None for lane in lanes),
            self._gate.calls,
            self._gate.bytes,
            self._gate.waiting + sum(window.waiting for window in self._windows.values()),
            sum(max(0, lane.opened - 1) for lane in lanes),
            str(errors[-1]) or type(errors[-1]).__name__ if errors else None,
        )

    async def aclose(self) -> None:
        """Let calls under way have their replies, then close. Later calls raise NotSentError."""
        self.closed = True
        await asyncio.gather(*(lane.aclose() for lane in self._all))

    def abort(self) -> None:
        """Close at once: calls under way raise LostError or NotSentError."""
        self.closed = True
        for lane in self._all:
            lane.abort()

    def renew(self, username: str, password: str) -> None:
        """Log in anew on all open connections. Called in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._renew, pack((b"AUTH", username, password)))

    def _renew(self, packed: bytes) -> None:
        for lane in self._all:
            if lane.link is not None and lane.link.lost is None:
                reply = lane.link.send(packed, self._loop.time() + self._call_timeout)
                reply.add_done_callback(partial(_renewed, lane.link))

    async def _link(self, lane: Lane, deadline: float, size: int) -> Link:
        try:
            link = await lane.ready(deadline)
            if link.lost is not None:
                raise NotSentError("the connection broke as it was opened") from link.lost
            return link
        except BaseException:
            if size:
                self._gate.leave(1, size)
            raise


def _renewed(link: Link, reply: asyncio.Future[Any]) -> None:
    failure = None if reply.cancelled() else reply.exception()
    if isinstance(failure, ReplyError | NotSentError):
        # Another connection asks the provider, and may have more luck.
        link.end(ConnectionError(f"the server does not take the renewed credentials: {failure}"))


def _load(lane: Lane) -> int:
    return lane.link.in_flight if lane.link is not None else 0


__all__ = ["Address", "LostError", "Node", "NodeStats", "NotSentError", "Options", "ReplyError"]
