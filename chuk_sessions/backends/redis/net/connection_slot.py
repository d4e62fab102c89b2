"""A lane: the place of one link at a node. It opens the link when one is wanted, and opens it again when it is lost."""

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
from .eviction_policy import ask_policy
from .limiter import InFlightLimiter
from .probe import answers
from .resp import NotSentError, ReplyError, pack

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


class Trouble(NamedTuple):
    """Why a connection was lost or not to be had, and when (seconds of the monotonic clock)."""

    why: BaseException
    at: float


class ConnectionSlot:
    """Belongs to one event loop.

    Attributes:
        connection: the present link, which may have been lost; None before the first.
        opened: how many links it has opened.
        opened_at: when it opened the last one, likewise.
        trouble: why the last link was lost, or could not be opened; None while there is nothing wrong.

    """

    def __init__(
        self, opener: Connector, options: Options, limiter: InFlightLimiter, breaker: CircuitBreaker | None = None
    ) -> None:
        self._opener = opener
        self._options = options
        self._limiter = limiter
        self._breaker = breaker
        self._opening: asyncio.Task[Connection] | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self.connection: Connection | None = None
        self.opened = 0
        self.opened_at = 0.0
        self.trouble: Trouble | None = None

    async def ready(self, deadline: float) -> Connection:
        """Return a usable link, where there is none in `link`, or one that has been silent for long. A silent one is
        probed first. Raises NotSentError when there is none to be had by the deadline, ReplyError when the server
        refuses it. Callers that come meanwhile wait for the same attempt.
        """
        if self._opening is None and self.connection is not None and self.connection.has_callers:
            return self.connection  # their deadlines will tell; to end it now could cost them their outcomes
        opening = self.start()
        # Not shield(): when the lane is closed meanwhile, that would cancel the caller, too.
        await asyncio.wait((opening,), timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if not opening.done():
            raise NotSentError(f"no connection in time{self._reason()}")
        if opening.cancelled():
            raise NotSentError("closed")
        return opening.result()

    def start(self) -> asyncio.Task[Connection]:
        """Open a new link, unless the present one answers or one is being opened. Raises NotSentError after the lane
        was closed.
        """
        if self._closed:
            raise NotSentError("closed")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._usable())
            self._opening.add_done_callback(self._opened)
        return self._opening

    @property
    def failing(self) -> bool:
        """Whether the last attempt to open a link has failed."""
        return self._failures > 0

    async def aclose(self) -> None:
        """Let calls under way have their replies, then close."""
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
        """Close at once; calls under way fail."""
        self._closed = True
        if self._opening is not None and not self._opening.get_loop().is_closed():
            self._opening.cancel()
        elif self._opening is not None:
            # It can neither go on nor be cancelled, and asyncio would log that at its end.
            self._opening._log_destroy_pending = False  # type: ignore[attr-defined]
        if self.connection is not None:
            self.connection.abort(ConnectionAbortedError("closed"))

    async def _usable(self) -> Connection:
        if self.connection is not None and await answers(self.connection):
            return self.connection
        return await self._open()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        if self._breaker is not None:
            self._breaker.record_attempt()
        link = Connection(self._limiter, self._options.call_timeout)
        try:
            await self._opener.connect(link)
        except Exception as failure:
            self._failed(failure, loop.time())
            raise
        if link.close_reason is None:
            self._greet(link, loop.time() + self._options.call_timeout)
        self._failures = 0
        self.opened += 1
        self.connection = link
        self._succeeded(link)
        return link

    def _succeeded(self, link: Connection) -> None:
        self.trouble = None
        self.opened_at = time.monotonic()
        if self._options.log is not None:
            self._options.log.opened(self._opener.address)
        # The event loop holds the link: it must not hold the lane, and so a backend that nobody uses any more.
        link.add_close_callback(partial(_tell, WeakMethod(self._lost), link))

    def _reason(self) -> str:
        """Return what is known of the reason why there is no connection, as the end of a sentence."""
        return f": {self.trouble.why}" if self.trouble is not None else self._opener.hint

    def _lost(self, link: Connection) -> None:
        """Record and log a link that has ended, unless this lane was closed."""
        why = link.close_reason
        if self._closed or why is None:
            return
        self.trouble = Trouble(why, time.monotonic())
        if self._options.log is not None:
            self._options.log.on_connection_lost(self._opener.address, why)

    def _greet(self, link: Connection, deadline: float) -> None:
        """Ahead of the first call goes what is of use, and no loss where a user's rights do not reach so far."""
        if self._options.client_name:
            link.queue_ignoring_reply(pack((b"CLIENT", b"SETNAME", self._options.client_name)), deadline)
        if self._options.policy_seen is not None:
            ask_policy(link, partial(self._options.policy_seen, self._opener.address), deadline)

    def _failed(self, failure: Exception, now: float) -> None:
        self.trouble = Trouble(failure, time.monotonic())
        if self._options.log is not None:
            self._options.log.failed(self._opener.address, failure)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._not_before = now + pause * random.uniform(0.5, 1)

    def _opened(self, task: asyncio.Task[Connection]) -> None:
        self._opening = None
        if task.cancelled():
            return
        failure = task.exception() or task.result().close_reason  # whoever waited has seen it; nobody may have
        if self._breaker is None or self._closed:
            return
        if failure is None or isinstance(failure, ReplyError):
            self._breaker.record_success()
        else:
            self._breaker.record_failure(failure)


def _tell(lost: WeakMethod[Callable[[Connection], None]], link: Connection) -> None:
    take_note = lost()
    if take_note is not None:
        take_note(link)
