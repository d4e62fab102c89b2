"""A circuit breaker: calls wait for the end of a young outage, and fail at once in an old one.

| state | connection | calls |
|---|---|---|
| closed | there is one, or there has been none for less than the call timeout (a failover heals in that time) | wait |
| open | there has been none for at least the call timeout | raise CircuitOpenError at once |

An outage begins with the first attempt to connect that does not succeed. From then on, attempts go on in the
background, whether or not there are calls. The first attempt that succeeds closes the circuit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf

from .resp import NotSentError
from .timers import call_later_weakly

logger = logging.getLogger(__name__)

_RETRY_EVERY = 0.2
"""Seconds from a failed attempt to the next one in the background."""


class CircuitOpenError(NotSentError):
    """The circuit is open: there has been no connection for so long that waiting for one is not worthwhile."""


class CircuitBreaker:
    """The circuit breaker of one server, or of one store. Belongs to one event loop.

    `subject` names the server in logs. `patience` is how many seconds an outage must last until the circuit opens.
    `retry` starts an attempt to connect, unless one is under way. `hint` ends the message of an error whose cause is
    not known, because the server says nothing.

    Attributes:
        is_open: whether calls fail at once.
        opens_at: when the circuit opens, on the loop's clock, if the present outage lasts; infinite if there is none.

    """

    def __init__(self, subject: str, patience: float, retry: Callable[[], object], hint: str = "") -> None:
        self._subject = subject
        self._patience = patience
        self._retry = retry
        self._hint = hint
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None
        self._cause: BaseException | None = None
        self._opening: asyncio.TimerHandle | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self.is_open = False
        self.opens_at = inf

    def raise_if_open(self) -> None:
        """Raise CircuitOpenError if the circuit is open."""
        if self.is_open:
            raise CircuitOpenError(str(self._cause or f"{self._subject} does not answer{self._hint}")) from self._cause

    def record_attempt(self) -> None:
        """Note that an attempt begins. If it does not succeed, the outage has begun now."""
        if self._began is None:
            self._began = self._loop.time()
            self.opens_at = self._began + self._patience
            self._opening = call_later_weakly(self._loop, self._patience, self._open)

    def record_failure(self, cause: BaseException) -> None:
        """Note that an attempt has failed, and start another one soon."""
        if self._began is None:
            return
        self._cause = cause
        if self._retrying is None:
            self._retrying = call_later_weakly(self._loop, _RETRY_EVERY, self._try_again)

    def record_success(self) -> None:
        """Close the circuit: the outage is over."""
        if self.is_open and self._began is not None:
            seconds = self._loop.time() - self._began
            logger.info("circuit closed: %s can be reached again after %.1f s", self._subject, seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the outage. No more attempts follow."""
        for timer in (self._opening, self._retrying):
            if timer is not None:
                timer.cancel()
        self._began = self._cause = self._opening = self._retrying = None
        self.is_open, self.opens_at = False, inf

    def _open(self) -> None:
        self._opening, self.is_open = None, True
        logger.warning(
            "circuit opened: %s could not be reached for %.1f s; calls fail at once until it can be",
            self._subject,
            self._patience,
        )

    def _try_again(self) -> None:
        self._retrying = None
        self._retry()
