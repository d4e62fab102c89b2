"""The emulator's single values: what the provider API keeps."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from threading import Lock

from .clock import Clock

_FEW = 64


class Strings:
    """Values under keys with the moment (ms) at which each goes. Safe for threads.

    A read takes no lock: it is one look-up in a dict, and an ended value is not given out whether or not it has been
    dropped. Writes drop what has ended, read or not: keys are noted under the second in which they go, and the
    seconds form a heap.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_ms = clock.now_ms
        self._values: dict[str, tuple[str, int]] = {}
        self._going: dict[int, set[str]] = {}
        self._seconds: list[int] = []
        self._notes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def set(self, key: str, value: str, ttl_ms: int) -> None:
        """Store for `ttl_ms`."""
        now = self._now_ms()
        moment = now + ttl_ms
        with self._lock:
            self._values[key] = (value, moment)
            self._note(key, moment)
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

    def _note(self, key: str, moment: int) -> None:
        self._notes += 1
        second = moment // 1000
        going = self._going.get(second)
        if going is not None:
            going.add(key)
            return
        self._going[second] = {key}
        heappush(self._seconds, second)

    def _drop(self, now: int) -> None:
        values, seconds = self._values, self._seconds
        while seconds and seconds[0] < now // 1000:
            for key in self._going.pop(heappop(seconds)):
                self._notes -= 1
                entry = values.get(key)
                if entry is not None and entry[1] <= now:
                    del values[key]
        # A key that is written again and again leaves a note each time.
        if self._notes > 2 * len(values) + _FEW:
            self._note_anew()

    def _note_anew(self) -> None:
        self._going, self._notes = {}, len(self._values)
        for key, (_, moment) in self._values.items():
            self._going.setdefault(moment // 1000, set()).add(key)
        self._seconds = list(self._going)
        heapify(self._seconds)
