"""A connection that many tasks share. It sends the calls of one event loop iteration together, or sooner if there are
many. Replies arrive in the order of the calls.

A call is an entry in a queue: its future, its deadline and its size. A reply goes to the oldest entry, whatever its
caller has done in the meantime. An entry that was sent leaves the queue only when its reply arrives or the connection
is closed. Therefore a caller can never get the reply to another caller's call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast

from hiredis import PushNotification

from .call_queue import CallQueue
from .limiter import InFlightLimiter
from .orphans import close_orphan
from .reply_window import LARGE_REPLY, ReplyWindow, reply_size
from .resp import NEED_DATA, ProtocolError, ReplyError, new_parser

_BURST = 32
"""This many calls are written at once, before the event loop iteration ends. The server then starts on them while this
process creates the rest. A smaller number would cost more in system calls than it gains."""

_IDLE_TIMEOUT = 1.0
"""Seconds without a reply after which a connection is probed before its next call."""


class Connection(CallQueue, asyncio.Protocol):
    """An open connection and the calls in flight on it. Belongs to one event loop.

    Attributes:
        usable_until: calls with a later deadline need a check first, because the connection is closed, or has been idle
            for so long that it needs a probe. (The hot path compares deadlines so that it need not read the clock.)

    """

    def __init__(self, limiter: InFlightLimiter, silence_timeout: float = 0.0) -> None:
        """Create a connection without a transport.

        `silence_timeout`: seconds without a received byte after which a late call closes the connection.
        """
        super().__init__(limiter, silence_timeout)
        self._usable_seconds = _IDLE_TIMEOUT + silence_timeout
        self._resp_parser = new_parser()
        self._unparsed = 0
        self._flush_scheduled = False
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._future()
        self.usable_until = -inf

    # Callers

    def send(
        self, packed: bytes, deadline: float, size: int = 0, skip: int = 0, window: ReplyWindow | None = None
    ) -> asyncio.Future[Any]:
        """Send commands that belong together. Return a future of the last command's reply.

        The future raises ReplyError, NotSentError or ReplyLostError. `deadline` is a time of the event loop's clock.
        `size` is the number of bytes that the call holds in the in-flight limiter until its reply arrives; 0 for a call
        that did not pass the limiter. `skip` is the number of replies to ignore before the last one. `window` is the
        reply window that the call has entered, and leaves when its reply arrives.
        """
        if skip:
            for _ in range(skip):
                self.queue_ignoring_reply(b"", deadline)
        future = self._future()
        self._entries.append((future, deadline, size, window))
        unsent = self._unsent
        unsent.append(packed)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        elif len(unsent) == _BURST and not self._paused:
            self._write()
        if deadline < self._timer_due:
            self._set_timer(deadline)
        return future

    def queue_ignoring_reply(self, packed: bytes, deadline: float) -> None:
        """Queue a command that is sent with the next call. Its reply is ignored, even if it is an error."""
        self._entries.append((None, deadline, 0, None))
        self._unsent.append(packed)

    def abort(self, reason: BaseException) -> None:
        """Close the connection at once. Calls that were not sent raise NotSentError, all others ReplyLostError."""
        if self.close_reason is not None:
            return
        self.close_reason = reason
        self.usable_until = -inf
        if self._loop.is_closed():
            self._discard()
            return
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._fail_all(reason)
        self._notify_if_empty()

    async def wait_closed(self) -> None:
        """Wait until the connection's socket is closed."""
        await asyncio.shield(self._closed)

    def extra_info(self, name: str) -> Any:
        """Return a fact about the transport, see asyncio's `get_extra_info`; None if it is unknown."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def add_close_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the connection's socket is closed."""
        self._closed.add_done_callback(lambda _: callback())

    def mark_alive(self) -> None:
        """Note that the connection works: it needs no probe until it has been idle again."""
        self._last_received = self._time()
        self.usable_until = self._last_received + self._usable_seconds

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over an open transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.mark_alive()

    def data_received(self, data: bytes) -> None:
        """Parse replies and give them to their callers."""
        if self.close_reason is not None:
            return
        self._last_received = self._time()
        self._received = True
        self._resp_parser.feed(data)
        self._unparsed += len(data)
        before = len(self._entries)
        try:
            self._match_replies(self._unparsed >= LARGE_REPLY)
        except (ProtocolError, IndexError) as error:  # IndexError: a reply without a call
            self.abort(error)
        if len(self._entries) != before:
            self._unparsed = len(data)
        if self._no_callers is not None:
            self._notify_if_empty()

    def eof_received(self) -> None:
        """Close the connection when the server does, without waiting for the TLS shutdown, which can take long."""
        self.abort(ConnectionResetError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed."""
        self.abort(exc or ConnectionResetError("the server closed the connection"))
        self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Keep unsent calls here while the server does not keep up (back-pressure)."""
        self._flush_scheduled = self._paused = True

    def resume_writing(self) -> None:
        """Send the calls that back-pressure has kept here."""
        self._paused = False
        self._flush()

    # Internals

    def _match_replies(self, large: bool) -> None:
        """Give each parsed reply to the oldest call. `large`: whether some of the replies may be large."""
        gets, popleft = self._resp_parser.gets, self._entries.popleft
        calls = total = 0
        try:
            while (reply := gets()) is not NEED_DATA:
                kind = reply.__class__
                if kind is PushNotification:
                    continue
                future, _, size, window = popleft()
                if size:
                    calls += 1
                    total += size
                if window is not None:
                    window.calls -= 1
                    if kind is ReplyError:
                        window.admit_waiting()  # an error says nothing about the size of replies
                    elif large or window.learning:
                        window.record_reply(reply_size(reply) if large else 0)
                if future is None or future.done():
                    continue
                if kind is ReplyError:
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        finally:
            if calls:
                # Replies to the library's own commands do not count: a periodic command would keep an idle connection
                # from being probed.
                self.usable_until = self._last_received + self._usable_seconds
                self._limiter.release(calls, total)

    def _flush(self) -> None:
        # This call may have been scheduled before the server fell behind. Then `resume_writing` does the work.
        if not self._paused:
            self._flush_scheduled = False
            self._write()

    def _write(self) -> None:
        if self.close_reason is not None or not self._unsent or self._transport is None:
            return
        if self._timer_due <= (now := self._time()):
            self._fail_unsent_late(now)
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent) if len(unsent) != 1 else unsent[0])

    def _discard(self) -> None:
        """Forget the calls and close the socket, because the event loop was closed while the connection was open. The
        callers are gone, and the loop can no longer close anything.
        """
        self._entries.clear()
        if self._transport is not None:
            close_orphan(self._transport)
