"""Log lines about connections: lost, refused, restored. One line for an event, however many connections it breaks."""

from __future__ import annotations

import logging
import time
from threading import Lock

from ..options import Address
from .resp import ReplyError

logger = logging.getLogger(__name__)

_QUIET = 5.0
"""Seconds after a lost connection during which another one to the same address is not worth a line."""

_LOGIN_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


class ConnectionLog:
    """Tells the log how a backend's servers are doing. Safe for threads; all of a backend's event loops share one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._down: dict[Address, float] = {}
        self._refused: set[Address] = set()
        self._lost_at: dict[Address, float] = {}

    def on_connection_lost(self, address: Address, why: BaseException) -> None:
        """Log that a connection broke, unless the server is known to be down or has broken another one just now."""
        now = time.monotonic()
        with self._lock:
            last = self._lost_at.get(address)
            if address in self._down or (last is not None and now < last + _QUIET):
                return
            self._lost_at[address] = self._down[address] = now
        logger.warning("the connection to %s was lost: %s", address, _text(why))

    def failed(self, address: Address, why: BaseException) -> None:
        """Log that no connection can be opened: a refused login once until one succeeds, all else once an outage."""
        refused = isinstance(why, ReplyError) and why.code in _LOGIN_CODES
        with self._lock:
            told = address in (self._refused if refused else self._down)
            self._down.setdefault(address, time.monotonic())
            if refused:
                self._refused.add(address)
        if not told:
            what = "the server at %s refused the login: %s" if refused else "no connection to %s: %s"
            logger.warning(what, address, _text(why))

    def opened(self, address: Address) -> None:
        """Log that the server is back, where its absence was logged."""
        if address not in self._down:
            return
        with self._lock:
            since = self._down.pop(address, None)
            self._refused.discard(address)
        if since is not None:
            logger.info("the connection to %s was restored after %.1f s", address, time.monotonic() - since)


def _text(why: BaseException) -> str:
    return str(why) or type(why).__name__
