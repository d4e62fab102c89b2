"""The public class of the cache, which holds its limits."""

from __future__ import annotations

import math
import os
from threading import RLock
from typing import Any
from weakref import WeakSet

from ..engine.direct_reads import DirectReads
from .cached_reads import CachedReads
from .store import Store
from .uncached import ImmediateReads, UncachedReads

_MIN_STALENESS, _MAX_STALENESS = 0.05, 3600.0


class LocalCache:
    """A coherent cache of sessions in the memory of this process, for `SessionManager(local_cache=...)`.

    A session from the cache is what a call to the server would have returned at most `max_staleness_seconds` ago.
    Normally, changes by other processes arrive within about a millisecond. Changes by this process count at once.
    docs/cache.md has the details.

    Managers may share a cache. They then share its connections.

    Attributes:
        max_sessions: most sessions that each manager keeps in each event loop.
        max_staleness: how old the state of a session may be, in seconds.
        max_age: after how many seconds a session is read again in any case.

    """

    def __init__(
        self, max_sessions: int = 10_000, max_staleness_seconds: float = 1.0, max_age_seconds: float = 60.0
    ) -> None:
        """Create a cache; nothing is sent.

        Args:
            max_sessions: maximum number of sessions that each manager keeps in each event loop. A session takes about
                1.6 kB.
            max_staleness_seconds: maximum age of the state of a session, 0.05 to 3600. At most a quarter of this time
                passes between two heartbeats on each connection.
            max_age_seconds: after this time, a session is read again even if no change was reported.

        Raises:
            ValueError: an argument is malformed.

        """
        if isinstance(max_sessions, bool) or not isinstance(max_sessions, int) or max_sessions < 1:
            raise ValueError(f"max_sessions must be a positive whole number, not {max_sessions!r}")
        self.max_sessions = max_sessions
        self.max_staleness = _seconds(max_staleness_seconds, "max_staleness_seconds", _MIN_STALENESS, _MAX_STALENESS)
        self.max_age = _seconds(max_age_seconds, "max_age_seconds", 0.0, math.inf)
        self._stores: dict[Any, tuple[Store, int]] = {}
        self._lock = RLock()
        _CACHES.add(self)

    def __repr__(self) -> str:
        return (
            f"LocalCache(max_sessions={self.max_sessions}, max_staleness_seconds={self.max_staleness:g}, "
            f"max_age_seconds={self.max_age:g})"
        )

    def open(self, backend: Any, direct: DirectReads) -> CachedReads | ImmediateReads | UncachedReads:
        """Return the cached reads of a manager. SessionManager calls this."""
        if hasattr(backend, "track"):
            return CachedReads(self, backend, direct)
        if hasattr(backend, "peek"):
            return ImmediateReads(backend, direct)
        return UncachedReads("a custom provider does not report changes")

    def store_for(self, backend: Any) -> Store:
        """Return the entries on a backend, for an additional manager."""
        with self._lock:
            store, managers = self._stores.get(backend) or (Store(backend, self), 0)
            self._stores[backend] = store, managers + 1
            return store

    def release(self, backend: Any) -> None:
        """Release a manager. The last one that uses a backend closes the connections to it."""
        with self._lock:
            store, managers = self._stores.pop(backend)
            if managers > 1:
                self._stores[backend] = store, managers - 1
                return
        store.close()


_CACHES: WeakSet[LocalCache] = WeakSet()


def _after_fork() -> None:
    for cache in list(_CACHES):
        cache._lock = RLock()  # Another thread of the parent may have held it.


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _seconds(value: object, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or value <= 0:
        limits = f"from {least:g} to {most:g}" if least else "that is positive"
        raise ValueError(f"{name} must be a number of seconds {limits}, not {value!r}")
    return float(value)
