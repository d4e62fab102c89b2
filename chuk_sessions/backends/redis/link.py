"""The link: one connection that many tasks share. Calls leave together at the end of the loop's turn, or sooner where
there are many; replies come back in order.

A call is an entry in a queue: its future, its deadline and its size. A reply goes to the oldest entry, whatever has
become of the caller in the meantime; an entry leaves the queue in no other way than by its reply or with the link's
end. So no caller can ever get the reply of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from hiredis import PushNotification

from .gate import Gate
from .orphans import close_orphan
from .wire import MORE, LostError, NotSentError, ProtocolError, ReplyError, reader

_CLOCK_STEP = 0.002
"""Timers may ring this much early, in seconds."""

_BURST = 32
"""So many calls are written at once without waiting for the turn's end: the server begins with them while this process
still makes the others. Fewer would cost more system calls than they gain."""


class Link(asyncio.Protocol):
    """One live connection, and the calls under way on it. Belongs to one event loop.

    Attributes:
        lost: why it has ended; None while it lives.

    """

    def __init__(self, gate: Gate) -> None:
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future
        self._gate = gate
        self._reader = reader()
        self._entries: deque[tuple[asyncio.Future[Any] | None, float, int]] = deque()
        self._unsent: list[bytes] = []
        self._flushing = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = self._future()
        self._empty: asyncio.Future[None] | None = None
        self.lost: BaseException | None = None

    # Callers

    @property
    def in_flight(self) -> int:
        """Commands without a reply so far."""
        return len(self._entries)

    def send(self, packed: bytes, deadline: float, size: int = 0, skip: int = 0) -> asyncio.Future[Any]:
        """Send commands that belong together; the future gives the last one's reply, or raises ReplyError, NotSentError
        or LostError.

        `size` is what the call holds in the gate, and gives back with its reply; 0 for one that did not pass it. `skip`
        is how many replies come before the last one, and are of no interest.
        """
        if skip:
            for _ in range(skip):
                self.send_ahead(b"", deadline)
        future = self._future()
        self._entries.append((future, deadline, size))
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

    def send_ahead(self, packed: bytes, deadline: float) -> None:
        """Send one command, with the next call, whose reply is of no interest whatever it is."""
        self._entries.append((None, deadline, 0))
        self._unsent.append(packed)

    async def drain(self) -> None:
        """Wait until nobody waits for a reply any more."""
        if self.lost is None and any(future and not future.done() for future, _, _ in self._entries):
            self._empty = self._empty or self._future()
            await asyncio.shield(self._empty)

    def end(self, why: BaseException) -> None:
        """End the connection now. What was not sent fails with NotSentError, all else under way with LostError."""
        if self.lost is not None:
            return
        self.lost = why
        if self._loop.is_closed():
            self._bury()
            return
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._fail_all(why)
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def gone(self) -> None:
        """Wait until the connection's socket is closed."""
        await asyncio.shield(self._gone)

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call that when the connection's socket is closed."""
        self._gone.add_done_callback(lambda _: callback())

    # The transport

    def adopt(self, transport: asyncio.Transport) -> None:
        """Take over an open connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Give replies to their callers."""
        if self.lost is not None:
            return
        self._reader.feed(data)
        try:
            self._deal()
        except (ProtocolError, IndexError) as nonsense:
            self.end(nonsense)
        if self._empty is not None and not self._entries and not self._empty.done():
            self._empty.set_result(None)

    def eof_received(self) -> None:
        """The server closes. Not to wait for the rest of it: TLS can take its time with that."""
        self.end(ConnectionResetError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self.end(exc or ConnectionResetError("the server closed the connection"))
        self._gone.set_result(None)

    def pause_writing(self) -> None:
        """The server does not keep up: what has not been sent yet stays here."""
        self._flushing = self._paused = True

    def resume_writing(self) -> None:
        """And goes out now."""
        self._paused = False
        self._flush()

    # Inside

    def _deal(self) -> None:
        gets, popleft = self._reader.gets, self._entries.popleft
        calls = size = 0
        try:
            while (reply := gets()) is not MORE:
                kind = reply.__class__
                if kind is PushNotification:
                    continue
                future, _, held = popleft()
                if held:
                    calls += 1
                    size += held
                if future is None or future.done():
                    continue
                if kind is ReplyError:
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        finally:
            if calls:
                self._gate.leave(calls, size)

    def _flush(self) -> None:
        # A turn's end that was asked for before the server fell behind: `resume_writing` comes instead.
        if not self._paused:
            self._flushing = False
            self._write()

    def _write(self) -> None:
        if self.lost is not None or not self._unsent or self._transport is None:
            return
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent) if len(unsent) > 1 else unsent[0])

    def _bury(self) -> None:
        """The loop was closed with this link open: no caller is left, and nothing can be left to the loop."""
        self._entries.clear()
        if self._transport is not None:
            close_orphan(self._transport)

    def _fail_all(self, why: BaseException) -> None:
        unsent, calls, size = len(self._unsent), 0, 0
        entries, self._entries, self._unsent = self._entries, deque(), []
        for place, (future, _, held) in enumerate(entries, unsent - len(entries)):
            calls += held > 0
            size += held
            if future is not None and not future.done():
                error = LostError(str(why)) if place < 0 else NotSentError(str(why))
                error.__cause__ = why
                future.set_exception(error)
        if calls:
            self._gate.leave(calls, size)

    def _ring_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        """The earliest deadline has come, unless its call is over. The oldest call being late means that the server or
        the way there hangs; a younger one with less time than the older ones fails alone.
        """
        self._timer, self._due = None, inf
        now = self._loop.time() + _CLOCK_STEP
        if self._entries and self._entries[0][1] <= now:
            self.end(TimeoutError("no answer in time"))
            return
        earliest = inf
        for future, deadline, _ in self._entries:
            if deadline > now:
                earliest = min(earliest, deadline)
            elif future is not None and not future.done():
                future.set_exception(LostError("no answer in time"))
        if earliest < inf:
            self._ring_at(earliest)
