"""Log lines about connections: lost, refused, restored. Each event is one line, however many connections it affects."""

from __future__ import annotations

import logging
import os
import time
from threading import Lock
from weakref import WeakSet

from ..options import Address
from .resp import ReplyError

logger = logging.getLogger(__name__)

_QUIET_SECONDS = 5.0
"""After a lost connection, further losses of connections to the same address are not logged for this long."""

_LOGIN_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


class ConnectionLog:
    """The log of a backend's connections. Thread-safe, because all event loops of a backend share one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._down_since: dict[Address, float] = {}
        self._refused: set[Address] = set()
        self._lost_at: dict[Address, float] = {}
        _LOGS.add(self)

    def reset_lock(self) -> None:
        """Replace the lock in a forked child, where no thread is left to release it."""
        self._lock = Lock()

    def on_connection_lost(self, address: Address, reason: BaseException) -> None:
        """Log a lost connection, unless another loss was logged just before.

        An earlier loss may be that of a connection that was not needed again, while the others worked.
        """
        now = time.monotonic()
        with self._lock:
            last = self._lost_at.get(address)
            if last is not None and now < last + _QUIET_SECONDS:
                return
            self._lost_at[address] = self._down_since[address] = now
        logger.warning("the connection to %s was lost: %s", address, _text(reason))

    def on_connect_failed(self, address: Address, error: BaseException) -> None:
        """Log once per outage that no connection can be opened. Log a refused login once until a login succeeds."""
        refused = isinstance(error, ReplyError) and error.code in _LOGIN_CODES
        with self._lock:
            logged = address in (self._refused if refused else self._down_since)
            self._down_since.setdefault(address, time.monotonic())
            if refused:
                self._refused.add(address)
        if not logged:
            message = "the server at %s refused the login: %s" if refused else "no connection to %s: %s"
            logger.warning(message, address, _text(error))

    def on_connected(self, address: Address) -> None:
        """Log that the server is reachable again, if its absence was logged."""
        if address not in self._down_since:
            return
        with self._lock:
            since = self._down_since.pop(address, None)
            self._refused.discard(address)
        if since is not None:
            logger.info("the connection to %s was restored after %.1f s", address, time.monotonic() - since)


_LOGS: WeakSet[ConnectionLog] = WeakSet()


def _after_fork() -> None:
    for log in list(_LOGS):
        log.reset_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
