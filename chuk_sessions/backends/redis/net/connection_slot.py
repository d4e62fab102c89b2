"""A connection slot: one connection's place at a node. It opens the connection on demand, and again after a loss."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from weakref import WeakMethod

from ..options import Options
from .circuit_breaker import CircuitBreaker
from .connection import Connection
from .connector import Connector
from .eviction_policy import request_eviction_policy
from .limiter import InFlightLimiter
from .orphans import cancel
from .probe import probe
from .resp import NotSentError, ReplyError, pack

_MIN_BACKOFF = 0.02
_MAX_BACKOFF = 0.25
"""Seconds between a failed attempt to connect and the next one, doubled with each failure, with jitter."""


class ConnectionFailure(NamedTuple):
    """The reason why a connection was lost or could not be opened, and when (seconds of the monotonic clock)."""

    reason: BaseException
    at: float


class ConnectionSlot:
    """The place of one connection at a node. Belongs to one event loop.

    Attributes:
        connection: the current connection, which may have been closed; None before the first one.
        connections_opened: how many connections the slot has opened.
        opened_at: when it opened the last one (seconds of the monotonic clock).
        last_failure: why the last connection was lost or could not be opened; None since a connection was opened.

    """

    def __init__(
        self, connector: Connector, options: Options, limiter: InFlightLimiter, breaker: CircuitBreaker | None = None
    ) -> None:
        self._connector = connector
        self._options = options
        self._limiter = limiter
        self._breaker = breaker
        self._opening: asyncio.Task[Connection] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self.connection: Connection | None = None
        self.connections_opened = 0
        self.opened_at = 0.0
        self.last_failure: ConnectionFailure | None = None

    async def get_connection(self, deadline: float) -> Connection:
        """Return a usable connection: probe an idle one, or open a new one.

        Concurrent callers wait for the same attempt. Raises NotSentError if there is no connection by the deadline, and
        ReplyError if the server refuses it.
        """
        if self._opening is None and self.connection is not None and self.connection.has_callers:
            # The deadlines of its calls show whether it is alive. To close it now could cost them their outcomes.
            return self.connection
        opening = self.start_opening()
        # Not shield(): if the slot is closed in the meantime, shield() would cancel the caller, too.
        await asyncio.wait((opening,), timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not opening.done():
            raise NotSentError(f"no connection in time{self._failure_text()}")
        if opening.cancelled():
            raise NotSentError("the connection is closed")
        return opening.result()

    def start_opening(self) -> asyncio.Task[Connection]:
        """Return the task that opens a connection. Start it if it is not running.

        The task keeps the current connection if that replies to a probe. Raises NotSentError if the slot is closed.
        """
        if self._closed:
            raise NotSentError("the connection is closed")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._probe_or_open())
            self._opening.add_done_callback(self._on_opening_done)
        return self._opening

    @property
    def is_connected(self) -> bool:
        """Whether the slot has an open connection."""
        return self.connection is not None and self.connection.close_reason is None

    @property
    def failing(self) -> bool:
        """Whether there is no connection, because the last attempt failed or its connection broke at once."""
        return self._failures > 0 and not self.is_connected

    async def aclose(self) -> None:
        """Wait for the replies to the calls in flight, then close."""
        self._closed = True
        try:
            if self._opening is not None:
                self._opening.cancel()
                await asyncio.wait([self._opening])
            if self.connection is not None:
                await self.connection.wait_for_replies()
        finally:
            self.abort()
        if self.connection is not None:
            await self.connection.wait_closed()

    def abort(self) -> None:
        """Close at once. Calls in flight fail."""
        self._closed = True
        if self._opening is not None:
            cancel(self._opening)
        if self.connection is not None:
            self.connection.abort(ConnectionAbortedError("the connection is closed"))

    async def _probe_or_open(self) -> Connection:
        if self.connection is not None and await probe(self.connection):
            return self.connection
        return await self._open()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        if self._breaker is not None:
            self._breaker.record_attempt()
        connection = Connection(self._limiter, self._options.call_timeout)
        try:
            await self._connector.connect(connection)
        except Exception as error:
            self._on_connect_failed(error, loop.time())
            raise
        if connection.close_reason is None:
            self._queue_greeting(connection, loop.time() + self._options.call_timeout)
        self._on_connected(connection)
        return connection

    def _queue_greeting(self, connection: Connection, deadline: float) -> None:
        """Queue useful commands before the first call. Their failure, for example for lack of rights, is harmless."""
        if self._options.client_name:
            packed = pack((b"CLIENT", b"SETNAME", self._options.client_name))
            connection.queue_ignoring_reply(packed, deadline)
        if self._options.policy_seen is not None:
            on_policy = partial(self._options.policy_seen, self._connector.address)
            request_eviction_policy(connection, on_policy, deadline)

    def _on_connected(self, connection: Connection) -> None:
        self._failures = 0
        self.connection = connection
        self.connections_opened += 1
        self.opened_at = time.monotonic()
        self.last_failure = None
        if self._options.log is not None:
            self._options.log.on_connected(self._connector.address)
        # The event loop keeps the connection alive. The connection must not keep the slot alive, because the slot would
        # keep a backend that is no longer used.
        connection.add_close_callback(partial(_call_weakly, WeakMethod(self._on_closed), connection))

    def _on_connect_failed(self, error: Exception, now: float) -> None:
        self.last_failure = ConnectionFailure(error, time.monotonic())
        if self._options.log is not None:
            self._options.log.on_connect_failed(self._connector.address, error)
        backoff = min(_MAX_BACKOFF, _MIN_BACKOFF * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._not_before = now + backoff * random.uniform(0.5, 1)

    def _on_closed(self, connection: Connection) -> None:
        """Record and log a lost connection. Do nothing if this slot was closed."""
        reason = connection.close_reason
        if self._closed or reason is None:
            return
        self.last_failure = ConnectionFailure(reason, time.monotonic())
        if self._options.log is not None:
            self._options.log.on_connection_lost(self._connector.address, reason)

    def _on_opening_done(self, task: asyncio.Task[Connection]) -> None:
        self._opening = None
        failure = _failure_of(task)
        if self._breaker is None or self._closed:
            return
        if failure is None or isinstance(failure, ReplyError):
            self._breaker.record_success()
        else:
            self._failures = max(1, self._failures)
            self._breaker.record_failure(failure)

    def _failure_text(self) -> str:
        """Return the known reason for the missing connection, as the end of an error message."""
        return f": {self.last_failure.reason}" if self.last_failure is not None else self._connector.timeout_hint


def _failure_of(opening: asyncio.Task[Connection]) -> BaseException | None:
    """Return why there is no connection now. The exception counts as retrieved, even if no caller waits any more."""
    if opening.cancelled():
        return NotSentError("the attempt to connect was canceled")
    return opening.exception() or opening.result().close_reason


def _call_weakly(method: WeakMethod[Callable[[Connection], None]], connection: Connection) -> None:
    on_closed = method()
    if on_closed is not None:
        on_closed(connection)
