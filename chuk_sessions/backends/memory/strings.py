"""The emulator's single values: what the provider API keeps."""

from __future__ import annotations

from threading import Lock

from .clock import Clock
from .turns import Turns

_SECOND = 1000
_SHARE = 100


class Strings:
    """Values under keys with the moment (ms) at which each goes. Safe for threads: a single operation on a dict is
    atomic, so that setting a value, and reading one that is there, takes no lock.

    An ended value is not given out whether or not it has been dropped. Who sets one drops what has ended, read or not:
    once a second, or more seldom where that would take more than a hundredth of the time. Dropping may meet a value
    that has just been set: for a moment it is not there, so that whoever misses a value, or takes one out, waits for
    the lock.

    Attributes:
        now_ms: the clock.
        values: where who sets a value puts it, with its moment; a method for that would take a tenth of the time.
        next_drop: the moment from which on `drop` drops something.
        turns: when callers give way; who sets a value then calls `drop`, too.

    """

    def __init__(self, clock: Clock) -> None:
        self.now_ms = clock.now_ms
        self.values: dict[str, tuple[str, int]] = {}
        self.next_drop = clock.now_ms() + _SECOND
        self.turns = Turns(clock)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.values)

    def get(self, key: str) -> str | None:
        """The value, or None."""
        entry = self.values.get(key)
        if entry is None:
            return self.recheck(key)
        return entry[0] if entry[1] > self.now_ms() else None

    def recheck(self, key: str) -> str | None:
        """The value, or None, for a key that was missed: it may be there again."""
        with self._lock:
            entry = self.values.get(key)
        return None if entry is None or entry[1] <= self.now_ms() else entry[0]

    def pop(self, key: str) -> str | None:
        """The value, which is gone then, or None."""
        with self._lock:
            entry = self.values.pop(key, None)
        return None if entry is None or entry[1] <= self.now_ms() else entry[0]

    def reset_lock(self) -> None:
        """In a forked child."""
        self._lock = Lock()

    def drop(self, now: int) -> None:
        """Drop what has ended at `now` (ms)."""
        values = self.values
        with self._lock:
            if now < self.next_drop:
                return
            self.next_drop = now + _SECOND
            # Of a copy: while a list of pairs was made of what others set values in, the garbage collector could let
            # them run. To copy a dict is one step.
            for key in [key for key, (_, moment) in values.copy().items() if moment <= now]:
                entry = values.pop(key, None)
                if entry is not None and entry[1] > now:
                    # Set since the list was made. What is set from here on stays in its place.
                    values.setdefault(key, entry)
            self.next_drop = now + max(_SECOND, _SHARE * (self.now_ms() - now))
