"""The queue of the calls in flight on one connection, and the timer that fails calls at their deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Any

from .limiter import InFlightLimiter
from .reply_window import ReplyWindow
from .resp import NotSentError, ReplyLostError

_CLOCK_RESOLUTION = 0.002
"""A timer may fire this many seconds early."""

_QUIET_ITERATIONS = 3
"""After this many iterations of the event loop without a byte, the socket is empty: one of them has polled it from
beginning to end."""

_MAX_ITERATIONS = 64
"""Late calls wait at most this many iterations of the event loop for a socket that keeps delivering bytes."""

_MIN_TIMER_INTERVAL = 0.005
"""Seconds between two runs of the timer. It does not fire more often, because each run examines all calls."""

Entry = tuple[asyncio.Future[Any] | None, float, int, ReplyWindow | None]
"""A call in flight: its future, its deadline, the bytes that it holds in the in-flight limiter, and its reply window.

A command whose reply is ignored has no future (None). The size is 0 for a call that did not pass the limiter.
"""


class CallQueue:
    """The calls in flight on one connection, oldest first. Belongs to one event loop.

    The newest calls may not have been sent yet. Each of them has one item in `_unsent`, so that `_unsent` corresponds
    to the tail of `_entries`.

    Attributes:
        close_reason: why the connection was closed; None while it is open.

    """

    def __init__(self, limiter: InFlightLimiter, silence_timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._future = self._loop.create_future
        self._limiter = limiter
        self._silence_timeout = silence_timeout
        self._entries: deque[Entry] = deque()
        self._unsent: list[bytes] = []
        self._no_callers: asyncio.Future[None] | None = None
        self._last_received = -inf
        self._received = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = inf
        self.close_reason: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """The number of commands that have no reply yet."""
        return len(self._entries)

    @property
    def has_callers(self) -> bool:
        """Whether calls that passed the in-flight limiter are in flight, not only the library's own commands."""
        return any(size for _, _, size, _ in self._entries)

    async def wait_for_replies(self) -> None:
        """Wait until no caller waits for a reply."""
        if self.close_reason is None and any(future and not future.done() for future, *_ in self._entries):
            self._no_callers = self._no_callers or self._future()
            await asyncio.shield(self._no_callers)

    def abort(self, reason: BaseException) -> None:
        """Close the connection at once and fail all calls."""
        raise NotImplementedError

    def _notify_if_empty(self) -> None:
        if self._no_callers is not None and not self._entries and not self._no_callers.done():
            self._no_callers.set_result(None)

    # Failures

    def _fail_all(self, reason: BaseException) -> None:
        entries, sent = list(self._entries), len(self._entries) - len(self._unsent)
        self._entries, self._unsent = deque(), []
        self._fail(entries[:sent], ReplyLostError(str(reason)), reason)
        self._fail(entries[sent:], NotSentError(str(reason)), reason)

    def _fail_unsent_late(self, now: float) -> None:
        """Fail calls whose deadline has passed before they were sent, and never send them. Commands whose reply is
        ignored stay, unless they belong to such a call.
        """
        unsent, entries, self._unsent = self._unsent, self._entries, []
        newest_first = [entries.pop() for _ in unsent]
        for packed, entry in zip(unsent, reversed(newest_first), strict=True):
            future, deadline, _, _ = entry
            if deadline <= now and (future is not None or not packed):
                self._fail((entry,), NotSentError("there was no time left to send it"))
            else:
                entries.append(entry)
                self._unsent.append(packed)
        self._notify_if_empty()

    def _fail(self, entries: Sequence[Entry], error: Exception, cause: BaseException | None = None) -> None:
        """Release what removed calls hold. Raise a copy of the error in each caller that still waits."""
        self._limiter.release(sum(size > 0 for _, _, size, _ in entries), sum(size for _, _, size, _ in entries))
        for future, _, _, window in entries:
            if window is not None:
                window.calls -= 1
                window.admit_waiting()
            if future is not None and not future.done():
                copy = type(error)(*error.args)  # an exception that several callers raise would mix their tracebacks
                copy.__cause__ = cause
                future.set_exception(copy)

    # Deadlines

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        """Fail late calls, or set the timer again if the call that it was set for is over.

        If the event loop was blocked, replies may wait in the socket. They count, so the socket is read first.
        """
        self._timer, self._timer_due = None, -inf  # no call sets the timer before this run is over
        now = self._time() + _CLOCK_RESOLUTION
        if any(deadline <= now for _, deadline, _, _ in self._entries):
            self._received = True
            self._fail_late_after_reading(0, _MAX_ITERATIONS)
        else:
            self._fail_late()

    def _fail_late_after_reading(self, quiet: int, remaining: int) -> None:
        """Fail late calls once the socket is empty. `quiet`: iterations without a byte so far."""
        quiet, self._received = 0 if self._received else quiet + 1, False
        if self.close_reason is not None:
            return
        if quiet < _QUIET_ITERATIONS and remaining:
            self._loop.call_soon(self._fail_late_after_reading, quiet, remaining - 1)
        else:
            self._fail_late()

    def _fail_late(self) -> None:
        """Fail late calls. If nothing has arrived for the silence timeout, the server or the network hangs: abort the
        connection. Otherwise only the late calls fail. They stay in the queue, because their replies may still come.
        """
        now = self._time() + _CLOCK_RESOLUTION
        self._fail_unsent_late(now)
        silent_at = self._last_received + self._silence_timeout
        if self._entries and self._entries[0][1] <= now and silent_at <= now:
            self.abort(TimeoutError("no reply in time"))
            return
        for future, deadline, _, _ in self._entries:
            if deadline <= now and future is not None and not future.done():
                future.set_exception(ReplyLostError("no reply in time"))
        self._set_next_timer(now, silent_at)

    def _set_next_timer(self, now: float, silent_at: float) -> None:
        """Set the timer for the next deadline, or for the silence timeout while a late call has no reply."""
        self._timer_due = earliest = inf
        for _, deadline, _, _ in self._entries:
            if deadline > now:
                earliest = min(earliest, deadline)
            elif silent_at > now:
                earliest = min(earliest, silent_at)
        if earliest < inf:
            self._set_timer(max(earliest, now + _MIN_TIMER_INTERVAL))
