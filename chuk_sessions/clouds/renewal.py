"""The thread that fetches tokens and renews them before they expire."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from .tokens import Token

logger = logging.getLogger(__package__)

MARGIN: Final = 180.0
"""Seconds before a token's expiry by which a new one must be there. Azure asks for three minutes:
https://learn.microsoft.com/azure/redis/entra-for-authentication
"""
RETRY_FIRST: Final = 1.0
RETRY_LONGEST: Final = 30.0
"""Seconds until a failed fetch is repeated, the first time and at most."""


def renewal_delay(lifetime: float) -> float:
    """Return the seconds after which a token is replaced. Processes use different delays, to spread their requests.

    That is after 70 to 75 percent of its lifetime, and before the margin. A token that does not live much longer than
    the margin is replaced after half of its lifetime. One that has expired on arrival is replaced after a pause: with a
    wrong clock, all of them have, and the service must not be asked without end.
    """
    if lifetime <= 0:
        return RETRY_FIRST
    if lifetime < 2 * MARGIN:
        return lifetime / 2
    return min(lifetime * random.uniform(0.70, 0.75), lifetime - MARGIN)


class Renewal:
    """The current token, and the thread that fetches the next one.

    Attributes:
        on_token: called with each token with which open connections must log in.
        on_error: called with the error of each renewal that fails.

    """

    def __init__(self, fetch: Callable[[], Token]) -> None:
        self._fetch = fetch
        self._token: Token | None = None
        self._logged_in_at = 0.0
        self._failures = 0
        self._renew_at = 0.0
        self.on_token: Callable[[Any], Any] = lambda token: None
        self.on_error: Callable[[Exception], Any] = lambda error: None
        self.after_fork()
        _RENEWALS.add(self)

    def after_fork(self) -> None:
        """Drop the thread and the locks of the parent process. The next request starts a thread in this one."""
        self._changed = threading.Condition()
        self._waiters: list[Future[Token]] = []
        self._thread: threading.Thread | None = None
        self._stopped = False

    def current(self) -> Token | None:
        """Return the token, or None if there is none or it has expired. A thread in this process renews it."""
        token = self._token
        return None if token is None or token.is_expired or self._thread is None else token

    def request(self) -> Future[Token]:
        """Return a future of the next token. Requests during a fetch share its result."""
        waiter: Future[Token] = Future()
        with self._changed:
            self._waiters.append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chuk-sessions-tokens", daemon=True)
                self._thread.start()
            self._changed.notify()
        return waiter

    def stop(self) -> None:
        """End the thread. Callers that wait for a token get an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            try:
                self._accept(self._fetch())
            except Exception as error:
                self._reject(error)
        for waiter in self._taken():
            waiter.set_exception(RuntimeError("the credential provider was discarded"))

    def _wait(self) -> bool:
        """Wait until a token is due or somebody asks for one. Return False if the thread must end."""
        with self._changed:
            while not self._stopped:
                token = self._token
                delay = self._renew_at - time.time()
                if self._waiters and token is not None and not token.is_expired and delay > 0:
                    self._resolve(token)  # the request came while the fetch before it was about to end
                elif self._waiters or delay <= 0:
                    return True
                else:
                    self._changed.wait(min(delay, 60))  # the clock may be set meanwhile
            return False

    def _accept(self, token: Token) -> None:
        now = time.time()
        with self._changed:
            self._failures = 0
            self._renew_at = now + renewal_delay(token.expires_at - now)
            self._token = token
            self._resolve(token)
        login_lasts = token.login_seconds
        if login_lasts is None or now >= self._logged_in_at + login_lasts * random.uniform(0.8, 0.9):
            is_first, self._logged_in_at = not self._logged_in_at, now
            if not is_first:
                self._tell(self.on_token, token)

    def _reject(self, error: Exception) -> None:
        with self._changed:
            self._failures += 1
            longest = min(RETRY_LONGEST, RETRY_FIRST * 2 ** min(self._failures - 1, 10))
            self._renew_at = time.time() + longest * random.uniform(0.5, 1)
            waiters = self._taken()
        for waiter in waiters:
            waiter.set_exception(error)
        self._tell(self.on_error, error)

    def _resolve(self, token: Token) -> None:
        for waiter in self._taken():
            waiter.set_result(token)

    def _taken(self) -> list[Future[Token]]:
        """Return the pending futures. Later requests get the result of a later fetch."""
        waiters, self._waiters = self._waiters, []
        return [waiter for waiter in waiters if waiter.set_running_or_notify_cancel()]

    @staticmethod
    def _tell(callback: Callable[[Any], Any], value: object) -> None:
        try:
            callback(value)
        except Exception:
            logger.exception("a callback of a credential provider failed")


_RENEWALS: WeakSet[Renewal] = WeakSet()


def _after_fork() -> None:
    for renewal in list(_RENEWALS):
        renewal.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
