"""The emulator's single values: what the provider API keeps."""

from __future__ import annotations

from threading import Lock

from .clock import Clock

_SECOND = 1000
_SHARE = 100


class Strings:
    """Values under keys with the moment (ms) at which each goes. Safe for threads: a read is one look-up in a dict, and
    takes no lock.

    An ended value is not given out whether or not it has been dropped. Writes drop what has ended, read or not: once a
    second, or more seldom where that would take more than a hundredth of the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_ms = clock.now_ms
        self._values: dict[str, tuple[str, int]] = {}
        self._next_drop = clock.now_ms() + _SECOND
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def set(self, key: str, value: str, ttl_ms: int) -> None:
        """Store for `ttl_ms`."""
        now = self._now_ms()
        with self._lock:
            self._values[key] = (value, now + ttl_ms)
            if now >= self._next_drop:
                self._drop(now)

    def get(self, key: str) -> str | None:
        """The value, or None."""
        entry = self._values.get(key)
        if entry is None or entry[1] <= self._now_ms():
            return None
        return entry[0]

    def pop(self, key: str) -> str | None:
        """The value, which is gone then, or None."""
        entry = self._values.pop(key, None)
        return None if entry is None or entry[1] <= self._now_ms() else entry[0]

    def renew_lock(self) -> None:
        """In a forked child."""
        self._lock = Lock()

    def _drop(self, now: int) -> None:
        self._next_drop = now + _SECOND
        values = self._values
        for key in [key for key, (_, moment) in list(values.items()) if moment <= now]:
            values.pop(key, None)
        self._next_drop = now + max(_SECOND, _SHARE * (self._now_ms() - now))
