"""A tracked connection: the server sends a report on it when a record changes that was read there.

Only reads and heartbeats use the connection. Replies and reports are handed on in the order in which they arrive, in
the same step, so no report can overtake the reply that it belongs to.

A heartbeat asks for the time, and for what could have ended the reports: the role, and in a cluster the slot of a
record that was read. Its reply shows that all reports of earlier writes have arrived, so the lease then lasts
`max_staleness` from the time at which the heartbeat was sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Any, cast

from hiredis import PushNotification

from ....core import boot_clock
from ....core.tracking import Observer, OnReply
from .orphans import close_orphan
from .resp import NEED_DATA, NotSentError, ProtocolError, ReplyError, ReplyLostError, new_parser, pack

_HEARTBEATS_PER_LEASE = 4
_GRACE = 0.01
"""Seconds in which a late reply may still be read from the socket, after the event loop was blocked."""

_LARGE_INPUT = 65_536
"""Bytes of one read from the socket after which more of them may be waiting."""

_ROLE, _TIME = pack((b"ROLE",)), pack((b"TIME",))
_HARMLESS = ("NOPERM", "ERR")
"""Codes of replies to ROLE that only say that this user may not run it, or that the server does not have it."""


class TrackedConnection(asyncio.Protocol):
    """An open connection with tracking. Belongs to one event loop.

    Attributes:
        lease_until, open_until: see `tracking.Source`.
        close_reason: why the connection was closed; None while it is open.

    """

    def __init__(self, observer: Observer, max_staleness: float, silence_timeout: float) -> None:
        """Create a connection without a transport.

        `silence_timeout`: seconds without a received byte after which the connection is closed.
        """
        self.lease_until = self.open_until = -inf
        self.close_reason: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._observer = observer
        self._max_staleness = max_staleness
        self._silence_timeout = silence_timeout
        self._interval = min(max_staleness / _HEARTBEATS_PER_LEASE, silence_timeout / 2)
        self._resp_parser = new_parser()
        self._transport: asyncio.Transport | None = None
        self._handlers: deque[OnReply] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._received_at = boot_clock.now()
        self._asks_role = True
        self._probe = b""
        self._canary: tuple[bytes, asyncio.Future[None]] | None = None

    # Calls

    def send(self, packed: bytes, on_reply: OnReply) -> None:
        """Send a command at the end of this iteration of the event loop. `on_reply` gets the reply or an exception."""
        if self.close_reason is not None:
            on_reply(NotSentError(str(self.close_reason)))
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._handlers.append(on_reply)

    async def call(self, packed: bytes) -> Any:
        """Send a command and return its reply. Raises ReplyError, NotSentError and ReplyLostError."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(packed, lambda reply: None if future.done() else future.set_result(reply))
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    def probe_slot_of(self, key: str) -> None:
        """Let heartbeats ask for this key, which fails if the server no longer serves its slot."""
        self._probe = pack((b"HMGET", key, b"d"))

    def expect_report(self, key: str) -> asyncio.Future[None]:
        """Return a future that is done when a change of the key is reported."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._canary = key.encode(), future
        return future

    # Heartbeats

    def start_heartbeats(self) -> None:
        """Send a heartbeat now, and further ones from time to time."""
        self._timer = None
        if self.close_reason is not None:
            return
        if self._handlers and self._received_at + self._silence_timeout < boot_clock.now():
            self._timer = self._loop.call_later(_GRACE, self._abort_if_silent, self._received_at)
            return
        self._send_heartbeat()
        self._timer = self._loop.call_later(self._interval, self.start_heartbeats)

    def _send_heartbeat(self) -> None:
        sent_at = boot_clock.now()
        if self._asks_role:
            self.send(_ROLE, self._on_role)
        if self._probe:
            self.send(self._probe, self._on_probe)
        self.send(_TIME, lambda reply: self._on_time(sent_at, reply))

    def _on_role(self, reply: Any) -> None:
        if isinstance(reply, ReplyError) and reply.code in _HARMLESS:
            self._asks_role = False
        elif isinstance(reply, Exception):
            self.abort(reply)
        elif reply[0] != b"master":
            self.abort(ConnectionError("the server is a replica"))

    def _on_probe(self, reply: Any) -> None:
        if isinstance(reply, Exception) and not (isinstance(reply, ReplyError) and reply.code == "NOPERM"):
            self.abort(reply)

    def _on_time(self, sent_at: float, reply: Any) -> None:
        if isinstance(reply, Exception):
            self.abort(reply)
        elif self.close_reason is None:
            self.lease_until = sent_at + self._max_staleness
            self._observer.on_lease(self)

    def _abort_if_silent(self, received_at: float) -> None:
        """Abort, unless bytes have arrived that the event loop had been too busy to read."""
        if self._received_at == received_at:
            self.abort(TimeoutError("the server did not reply to heartbeats"))
        else:
            self.start_heartbeats()

    # Closing

    def abort(self, reason: BaseException) -> None:
        """Close the connection at once. Reads without a reply get ReplyLostError."""
        if not self._end(reason):
            return
        if self._transport is not None:
            if self._loop.is_closed():
                close_orphan(self._transport)
            else:
                self._transport.abort()
        self._observer.on_flush(self)
        handlers, self._handlers, self._unsent = self._handlers, deque(), []
        for on_reply in handlers:
            on_reply(ReplyLostError(str(reason)))

    def flush(self) -> None:
        """Report that all records read on this connection may have changed."""
        self._observer.on_flush(self)

    def abandon(self) -> None:
        """Stop using the connection in a forked child. Its socket still belongs to the parent."""
        self._end(ConnectionAbortedError("the process was forked"))

    def _end(self, reason: BaseException) -> bool:
        """Mark the connection as closed. Return whether it was open."""
        if self.close_reason is not None:
            return False
        self.close_reason = reason
        self.lease_until = self.open_until = -inf
        if self._timer is not None:
            self._timer.cancel()
        return True

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over an open transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._received_at = boot_clock.now()
        if self.close_reason is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse replies and reports, and hand them on in order."""
        if self.close_reason is not None:
            return
        self._received_at = boot_clock.now()
        if len(data) >= _LARGE_INPUT:
            self._observer.on_large_input()
        try:
            self._resp_parser.feed(data)
            while self.close_reason is None and (reply := self._resp_parser.gets()) is not NEED_DATA:
                if reply.__class__ is PushNotification:
                    self._on_push(reply)
                else:
                    self._handlers.popleft()(reply)
        except (ProtocolError, IndexError) as error:  # IndexError: a reply without a call
            self.abort(error)

    def eof_received(self) -> None:
        """Close the connection when the server does."""
        self.abort(ConnectionResetError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed."""
        self.abort(exc or ConnectionResetError("the server closed the connection"))

    def _on_push(self, push: list[Any]) -> None:
        if push[0] != b"invalidate":
            return
        if push[1] is None:
            self._observer.on_flush(self)
            return
        for key in push[1]:
            if self._canary is not None and key == self._canary[0] and not self._canary[1].done():
                self._canary[1].set_result(None)
            self._observer.on_change(key.decode("utf-8", "replace"))

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.close_reason is None and unsent and self._transport is not None:
            self._transport.write(b"".join(unsent))
