"""The part of a cache that belongs to one event loop: its tracked connections, its gate, and the views of managers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from threading import RLock

from ..core import boot_clock
from ..core.tracking import Source, TrackingBackend
from .entry import Entry
from .gate import Gate
from .view import Limits, View


def sandbox_of(record: str) -> str:
    """Return the sandbox in the key of a record."""
    parts = record.split("/", 2)
    return parts[1] if len(parts) > 1 else ""


class LoopCache:
    """The views of all managers that use a cache in one event loop. It observes the tracked connections.

    Attributes:
        loop: the event loop.
        gate: its gate.
        tracked: its tracked connections.
        flushes: the number of times that all entries of a connection were dropped.

    """

    def __init__(self, backend: TrackingBackend, limits: Limits, neighbors: Callable[[str], Iterable[View]]) -> None:
        """Create the part of the running loop. `neighbors` returns the views of a sandbox in all loops."""
        self.loop = asyncio.get_running_loop()
        self.gate = Gate(self.loop, self._on_gate)
        self.tracked = backend.track(self, limits.max_staleness)
        self.flushes = 0
        self._max_staleness = limits.max_staleness
        self._neighbors = neighbors
        self._sources: set[Source] = set()
        self._views: dict[str, tuple[View, ...]] = {}
        self._lock = RLock()

    def views_of(self, sandbox_id: str) -> tuple[View, ...]:
        """Return the views of a sandbox."""
        return self._views.get(sandbox_id, ())

    def add(self, sandbox_id: str, view: View) -> None:
        """Add the view of a manager."""
        with self._lock:
            self._views = {**self._views, sandbox_id: (*self.views_of(sandbox_id), view)}

    def remove(self, view: View) -> None:
        """Remove the view of a manager. Any thread may call this."""
        with self._lock:
            kept = {name: tuple([one for one in views if one is not view]) for name, views in self._views.items()}
            self._views = {name: views for name, views in kept.items() if views}

    def abandon(self) -> list[Entry]:
        """Forget all connections and entries in a forked child. Return the entries, which belong to the parent."""
        self._lock = RLock()
        self.tracked.abandon()
        return [entry for views in self._views.values() for view in views for entry in view.abandon()]

    def supersede(self, view: View, entry: Entry) -> bool:
        """Drop the entries of other views that are older than this one. Return whether it is the newest.

        Without this, a thread could see the new state of a session on one connection, and then the old one in the view
        of another event loop that has yet to receive the report.
        """
        is_newest = True
        for other in self._neighbors(sandbox_of(entry.record)):
            theirs = None if other is view else other.entry_of(entry.record)
            if theirs is None or (theirs.waiters is None and theirs.equals(entry)):
                continue
            if theirs.waiters is None and theirs.server_now > entry.server_now:
                is_newest = False
                continue
            other.kill(entry.record)
            is_newest = is_newest and (theirs.waiters is not None or theirs.server_now < entry.server_now)
        return is_newest

    def staleness(self) -> float:
        """Return how old the entries that may answer calls can be at most, in seconds, by the latest heartbeats."""
        now = boot_clock.now()
        left = [source.lease_until - now for source in list(self._sources)]
        return max((self._max_staleness - seconds for seconds in left if seconds > 0), default=0.0)

    # The observer of tracked connections

    def on_lease(self, source: Source) -> None:
        """Extend the time during which entries of this connection may answer calls."""
        self._sources.add(source)
        source.open_until = min(source.lease_until, self.gate.open_until)

    def on_change(self, record: str) -> None:
        """Drop the entries of a record."""
        for view in self.views_of(sandbox_of(record)):
            view.on_change(record)

    def on_flush(self, source: Source) -> None:
        """Drop the entries that were read on a connection."""
        if source not in self._sources:
            return
        self.flushes += 1
        if source.lease_until == -inf:
            self._sources.discard(source)
        for views in list(self._views.values()):
            for view in views:
                view.flush(source)

    def on_large_input(self) -> None:
        """Let the gate wait for more input."""
        self.gate.on_large_input()

    def _on_gate(self) -> None:
        for source in self._sources:
            source.open_until = min(source.lease_until, self.gate.open_until)
