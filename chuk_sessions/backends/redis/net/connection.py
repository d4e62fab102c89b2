"""The link: one connection that many tasks share. Calls leave together at the end of the loop's turn, or sooner where
there are many; replies come back in order.

A call is an entry in a queue: its future, its deadline and its size. A reply goes to the oldest entry, whatever has
become of the caller in the meantime; an entry that was sent leaves the queue in no other way than by its reply or with
the link's end. So no caller can ever get the reply of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, cast

from hiredis import PushNotification

from .limiter import InFlightLimiter
from .orphans import close_orphan
from .reply_window import LARGE_REPLY, ReplyWindow, reply_size
from .resp import NEED_DATA, NotSentError, ProtocolError, ReplyError, ReplyLostError, reader

_CLOCK_STEP = 0.002
"""Timers may ring this much early, in seconds."""

_BURST = 32
"""So many calls are written at once without waiting for the turn's end: the server begins with them while this process
still makes the others. Fewer would cost more system calls than they gain."""

_IDLE = 1.0
"""A connection that has been silent for this long is probed before its next call, in seconds."""

_QUIET_TURNS = 3
"""Turns of the loop without a byte that show that the socket is empty: one of them has polled it from begin to end."""

_MOST_TURNS = 64
"""Turns that a judgment of late calls waits at most for a socket that keeps bringing more."""

_RING_STEP = 0.005
"""Timers do not ring more often than this, in seconds: each looks at all calls."""

_Entry = tuple[asyncio.Future[Any] | None, float, int, ReplyWindow | None]
"""A call under way: future, deadline, bytes held in the gate, and the window that it is in."""


class Connection(asyncio.Protocol):
    """One live connection, and the calls under way on it. Belongs to one event loop.

    Attributes:
        close_reason: why it has ended; None while it lives.
        usable_until: a deadline beyond this means that the connection is lost, or has been silent for so long that it
            needs a probe. (Deadlines are compared instead of the time, which the hot path then need not ask for.)

    """

    def __init__(self, limiter: InFlightLimiter, patience: float = 0.0) -> None:
        """`patience`: seconds for which calls that get no reply may see nothing arrive before the connection ends."""
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._future = self._loop.create_future
        self._limiter = limiter
        self._patience = patience
        self._usable = _IDLE + patience
        self._heard_at = -inf
        self._reader = reader()
        self._buffered = 0
        self._received = False
        self._entries: deque[_Entry] = deque()
        self._unsent: list[bytes] = []
        self._flushing = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = self._future()
        self._empty: asyncio.Future[None] | None = None
        self.close_reason: BaseException | None = None
        self.usable_until = -inf

    # Callers

    @property
    def in_flight(self) -> int:
        """Commands without a reply so far."""
        return len(self._entries)

    @property
    def has_callers(self) -> bool:
        """Whether calls that passed the gate are under way, and not only those of the library itself."""
        return any(held for _, _, held, _ in self._entries)

    def send(
        self, packed: bytes, deadline: float, size: int = 0, skip: int = 0, window: ReplyWindow | None = None
    ) -> asyncio.Future[Any]:
        """Send commands that belong together; the future gives the last one's reply, or raises ReplyError, NotSentError
        or LostError.

        `size` is what the call holds in the gate, and gives back with its reply; 0 for one that did not pass it. `skip`
        is how many replies come before the last one, and are of no interest. `window` is what the call has entered, and
        leaves with its reply.
        """
        if skip:
            for _ in range(skip):
                self.queue_ignoring_reply(b"", deadline)
        future = self._future()
        self._entries.append((future, deadline, size, window))
        unsent = self._unsent
        unsent.append(packed)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        elif len(unsent) == _BURST and not self._paused:
            self._write()
        if deadline < self._due:
            self._ring_at(deadline)
        return future

    def queue_ignoring_reply(self, packed: bytes, deadline: float) -> None:
        """Send one command, with the next call, whose reply is of no interest whatever it is."""
        self._entries.append((None, deadline, 0, None))
        self._unsent.append(packed)

    async def wait_for_replies(self) -> None:
        """Wait until nobody waits for a reply any more."""
        if self.close_reason is None and any(future and not future.done() for future, *_ in self._entries):
            self._empty = self._empty or self._future()
            await asyncio.shield(self._empty)

    def abort(self, why: BaseException) -> None:
        """End the connection now. What was not sent fails with NotSentError, all else under way with LostError."""
        if self.close_reason is not None:
            return
        self.close_reason = why
        self.usable_until = -inf
        if self._loop.is_closed():
            self._discard()
            return
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._fail_all(why)
        self._tell_if_empty()

    async def wait_closed(self) -> None:
        """Wait until the connection's socket is closed."""
        await asyncio.shield(self._gone)

    def add_close_callback(self, callback: Callable[[], None]) -> None:
        """Call that when the connection's socket is closed."""
        self._gone.add_done_callback(lambda _: callback())

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over an open connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.mark_alive()

    def mark_alive(self) -> None:
        """Note that the connection works: it is not probed again before it has been idle."""
        self._heard_at = self._time()
        self.usable_until = self._heard_at + self._usable

    def data_received(self, data: bytes) -> None:
        """Give replies to their callers."""
        if self.close_reason is not None:
            return
        self._heard_at = self._time()
        self._received = True
        self._reader.feed(data)
        self._buffered += len(data)
        before = len(self._entries)
        try:
            self._deal(self._buffered >= LARGE_REPLY)
        except (ProtocolError, IndexError) as nonsense:
            self.abort(nonsense)
        if len(self._entries) != before:
            self._buffered = len(data)
        if self._empty is not None:
            self._tell_if_empty()

    def eof_received(self) -> None:
        """The server closes. Not to wait for the rest of it: TLS can take its time with that."""
        self.abort(ConnectionResetError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.abort(exc or ConnectionResetError("the server closed the connection"))
        self._gone.set_result(None)

    def pause_writing(self) -> None:
        """The server does not keep up: what has not been sent yet stays here."""
        self._flushing = self._paused = True

    def resume_writing(self) -> None:
        """And goes out now."""
        self._paused = False
        self._flush()

    # Inside

    def _deal(self, large: bool) -> None:
        """Pair replies with calls. `large`: some of them may be."""
        gets, popleft = self._reader.gets, self._entries.popleft
        calls = size = 0
        try:
            while (reply := gets()) is not NEED_DATA:
                kind = reply.__class__
                if kind is PushNotification:
                    continue
                future, _, held, window = popleft()
                if held:
                    calls += 1
                    size += held
                if window is not None:
                    window.calls -= 1
                    if kind is ReplyError:
                        window.settle()  # an error says nothing about the size of replies
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
                # Replies to the library's own questions do not count: a periodic question would keep an idle connection
                # from being probed.
                self.usable_until = self._heard_at + self._usable
                self._limiter.release(calls, size)

    def _flush(self) -> None:
        # A turn's end that was asked for before the server fell behind: `resume_writing` comes instead.
        if not self._paused:
            self._flushing = False
            self._write()

    def _write(self) -> None:
        if self.close_reason is not None or not self._unsent or self._transport is None:
            return
        if self._due <= (now := self._time()):
            self._drop_late(now)
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent) if len(unsent) != 1 else unsent[0])

    def _drop_late(self, now: float) -> None:
        """Fail calls that are late before they were sent, so that they never are. What is sent ahead of calls stays."""
        unsent, entries, self._unsent = self._unsent, self._entries, []
        newest = [entries.pop() for _ in unsent]
        for packed, entry in zip(unsent, reversed(newest), strict=True):
            if entry[1] <= now and (entry[0] is not None or not packed):
                self._fail((entry,), NotSentError("there was no time left to send it"))
            else:
                entries.append(entry)
                self._unsent.append(packed)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if self._empty is not None and not self._entries and not self._empty.done():
            self._empty.set_result(None)

    def _discard(self) -> None:
        """The loop was closed with this link open: no caller is left, and nothing can be left to the loop."""
        self._entries.clear()
        if self._transport is not None:
            close_orphan(self._transport)

    def _fail_all(self, why: BaseException) -> None:
        entries, sent = list(self._entries), len(self._entries) - len(self._unsent)
        self._entries, self._unsent = deque(), []
        self._fail(entries[:sent], ReplyLostError(str(why)), why)
        self._fail(entries[sent:], NotSentError(str(why)), why)

    def _fail(self, entries: Sequence[_Entry], error: Exception, why: BaseException | None = None) -> None:
        """Have calls that are not under way any more raise an error of that kind, and give back what they hold."""
        self._limiter.release(sum(held > 0 for _, _, held, _ in entries), sum(held for _, _, held, _ in entries))
        for future, _, _, window in entries:
            if window is not None:
                window.calls -= 1
                window.settle()
            if future is not None and not future.done():
                one = type(error)(*error.args)
                one.__cause__ = why
                future.set_exception(one)

    def _ring_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        """The earliest deadline has come, unless its call is over. If the loop was held up, replies wait in the socket:
        they count, so that calls are judged when it has been read.
        """
        self._timer, self._due = None, -inf
        now = self._time() + _CLOCK_STEP
        if any(deadline <= now for _, deadline, _, _ in self._entries):
            self._received = True
            self._judge_when_read(0, _MOST_TURNS)
        else:
            self._judge()

    def _judge_when_read(self, quiet: int, turns: int) -> None:
        quiet, self._received = 0 if self._received else quiet + 1, False
        if self.close_reason is not None:
            return
        if quiet < _QUIET_TURNS and turns:
            self._loop.call_soon(self._judge_when_read, quiet, turns - 1)
        else:
            self._judge()

    def _judge(self) -> None:
        """Fail late calls. When nothing has arrived for long, the server or the way there hangs, and the connection
        ends; else a late call fails alone.
        """
        now = self._time() + _CLOCK_STEP
        self._drop_late(now)
        silent_at = self._heard_at + self._patience
        if self._entries and self._entries[0][1] <= now and silent_at <= now:
            self.abort(TimeoutError("no answer in time"))
            return
        earliest = inf
        for future, deadline, _, _ in self._entries:
            if deadline > now or silent_at > now:
                earliest = min(earliest, max(deadline, silent_at) if deadline <= now else deadline)
            if deadline <= now and future is not None and not future.done():
                future.set_exception(ReplyLostError("no answer in time"))
        self._due = inf
        if earliest < inf:
            self._ring_at(max(earliest, now + _RING_STEP))
