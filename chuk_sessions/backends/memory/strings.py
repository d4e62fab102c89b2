"""The emulator's single values, which the provider API stores."""

from __future__ import annotations

import heapq
from threading import Lock

from .clock import Clock
from .turns import Turns

_MIN_INTERVAL_MS = 1000
_COST_FACTOR = 100


class Strings:
    """Values under keys, each with its expiry (ms).

    It is safe for threads. A single operation on a dict is atomic, so setting a value and reading one that exists take
    no lock.

    An expired value is never returned, dropped or not. The caller that sets a value also drops the expired ones: once a
    second, or less often if that would take more than a hundredth of the time. `drop` may meet a value that has just
    been set, and remove it for a moment. Callers that miss a value or remove one therefore wait for the lock.

    Attributes:
        now_ms: the clock.
        values: value and expiry by key. Callers write to it directly: a method would take a tenth of their time.
        next_drop: when `drop` next drops values, ms.
        turns: when callers give way. A caller that sets a value then calls `drop`, too.

    """

    def __init__(self, clock: Clock) -> None:
        self.now_ms = clock.now_ms
        self.values: dict[str, tuple[str, int]] = {}
        self.next_drop = clock.now_ms() + _MIN_INTERVAL_MS
        self.turns = Turns(clock)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.values)

    def get(self, key: str) -> str | None:
        """Return the value, or None."""
        entry = self.values.get(key)
        if entry is None:
            return self.recheck(key)
        return entry[0] if entry[1] > self.now_ms() else None

    def recheck(self, key: str) -> str | None:
        """Return the value, or None, of a key that was missed: `drop` may have put it back since."""
        with self._lock:
            entry = self.values.get(key)
        return None if entry is None or entry[1] <= self.now_ms() else entry[0]

    def pop(self, key: str) -> str | None:
        """Remove and return the value, or return None."""
        with self._lock:
            entry = self.values.pop(key, None)
        return None if entry is None or entry[1] <= self.now_ms() else entry[0]

    def page(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return the first keys with a prefix after a key, in order, expired ones included."""
        return heapq.nsmallest(limit, (key for key in self.values.copy() if key.startswith(prefix) and key > after))

    def reset_lock(self) -> None:
        """Replace the lock in a forked child."""
        self._lock = Lock()

    def drop(self, now: int) -> None:
        """Drop the values that have expired at `now` (ms), if it is time."""
        with self._lock:
            if now < self.next_drop:
                return
            self.next_drop = now + _MIN_INTERVAL_MS
            self._drop_expired(now)
            self.next_drop = now + max(_MIN_INTERVAL_MS, _COST_FACTOR * (self.now_ms() - now))

    def _drop_expired(self, now: int) -> None:
        values = self.values
        # Iterate over a copy, because copying a dict is one atomic step. Building the list from `values` itself could
        # run the garbage collector, and with it other threads, which set values.
        for key in [key for key, (_, expiry) in values.copy().items() if expiry <= now]:
            entry = values.pop(key, None)
            if entry is not None and entry[1] > now:
                # It was set after the copy was made. Put it back, unless a still newer value is there.
                values.setdefault(key, entry)
