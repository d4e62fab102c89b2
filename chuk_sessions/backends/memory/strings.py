"""The emulator's single values: what the provider API keeps."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from threading import Lock

from .clock import Clock

_FEW = 64


class Strings:
    """Values under keys with the moment (ms) at which each goes. Safe for threads.

    A read takes no lock: it is one look-up in a dict, and an ended value is not given out whether or not it has been
    dropped. Writes drop what has ended, read or not.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_ms = clock.now_ms
        self._values: dict[str, tuple[str, int]] = {}
        self._queue: list[tuple[int, str]] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def set(self, key: str, value: str, ttl_ms: int) -> None:
        """Store for `ttl_ms`."""
        now = self._now_ms()
        with self._lock:
            self._values[key] = (value, now + ttl_ms)
            heappush(self._queue, (now + ttl_ms, key))
            self._drop(now)

    def get(self, key: str) -> str | None:
        """The value, or None."""
        entry = self._values.get(key)
        if entry is None or entry[1] <= self._now_ms():
            return None
        return entry[0]

    def pop(self, key: str) -> str | None:
        """The value, which is gone then, or None."""
        now = self._now_ms()
        with self._lock:
            entry = self._values.pop(key, None)
            self._drop(now)
        return None if entry is None or entry[1] <= now else entry[0]

    def _drop(self, now: int) -> None:
        queue, values = self._queue, self._values
        while queue and queue[0][0] <= now:
            moment, key = heappop(queue)
            entry = values.get(key)
            if entry is not None and entry[1] == moment:
                del values[key]
        if len(queue) > 2 * len(values) + _FEW:
            self._queue = [(entry[1], key) for key, entry in values.items()]
            heapify(self._queue)
