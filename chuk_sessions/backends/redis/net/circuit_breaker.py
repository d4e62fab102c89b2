"""A circuit breaker: calls wait during a short outage, and fail at once during a long one.

| state | connection | calls |
|---|---|---|
| closed | open, or missing for less than the call timeout (a failover takes less) | wait |
| open | missing for at least the call timeout | raise CircuitOpenError at once |

An outage begins with the first attempt to connect that does not succeed. From then on, attempts continue in the
background, with or without calls. The first attempt that succeeds closes the circuit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf

from .resp import NotSentError
from .timers import call_later_weakly

logger = logging.getLogger(__name__)

_RETRY_DELAY = 0.2
"""Seconds from a failed attempt to the next one in the background."""


class CircuitOpenError(NotSentError):
    """The error of a call while the circuit is open: the outage is so long that it is not worthwhile to wait."""


class CircuitBreaker:
    """The circuit breaker of one server or one store. Belongs to one event loop.

    Attributes:
        is_open: whether calls fail at once.
        opens_at: the time of the event loop's clock at which the circuit opens if the current outage lasts; infinite
            without an outage.

    """

    def __init__(self, subject: str, open_after: float, retry: Callable[[], object], hint: str = "") -> None:
        """Create a closed circuit.

        Args:
            subject: the server's name in log lines and errors.
            open_after: how many seconds an outage must last before the circuit opens.
            retry: starts an attempt to connect, unless one is in progress.
            hint: ends the error message if the cause is unknown because the server does not reply.

        """
        self._subject = subject
        self._open_after = open_after
        self._retry = retry
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._outage_began: float | None = None
        self._cause: BaseException | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self.is_open = False
        self.opens_at = inf

    def raise_if_open(self) -> None:
        """Raise CircuitOpenError if the circuit is open."""
        if self.is_open:
            raise CircuitOpenError(str(self._cause or f"{self._subject} does not reply{self._hint}")) from self._cause

    def record_attempt(self) -> None:
        """Record that an attempt begins. If it does not succeed, the outage began now."""
        if self._outage_began is None:
            self._outage_began = self._loop.time()
            self.opens_at = self._outage_began + self._open_after
            self._open_timer = call_later_weakly(self._loop, self._open_after, self._open)

    def record_failure(self, cause: BaseException) -> None:
        """Record that an attempt has failed, and schedule a retry."""
        if self._outage_began is None:
            return
        self._cause = cause
        if self._retry_timer is None:
            self._retry_timer = call_later_weakly(self._loop, _RETRY_DELAY, self._run_retry)

    def record_success(self) -> None:
        """Close the circuit: the outage is over."""
        if self.is_open and self._outage_began is not None:
            seconds = self._loop.time() - self._outage_began
            logger.info("circuit closed: %s can be reached again after %.1f s", self._subject, seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the outage and cancel the retries."""
        for timer in (self._open_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        self._outage_began = self._cause = self._open_timer = self._retry_timer = None
        self.is_open, self.opens_at = False, inf

    def _open(self) -> None:
        self._open_timer, self.is_open = None, True
        logger.warning(
            "circuit opened: %s could not be reached for %.1f s; calls fail at once until it can be",
            self._subject,
            self._open_after,
        )

    def _run_retry(self) -> None:
        self._retry_timer = None
        self._retry()
