"""A view: the sessions that one manager has cached in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Any, Protocol

from ..core import boot_clock, operations
from ..core import statuses as s
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..core.record import Record
from ..core.tracking import Source, TrackedReads
from .entry import Entry
from .gate import Gate

_SECOND_CHANCES = 32
"""Most entries that an eviction spares because they were hit, before it takes the next one."""


class Neighbors(Protocol):
    """The views of the same sandbox in other event loops of this process, and of other managers."""

    def supersede(self, view: View, entry: Entry) -> bool:
        """Drop the entries of other views that are older than this one. Return whether it is the newest."""


class Limits(Protocol):
    """The limits of a cache.

    Attributes:
        max_sessions: most sessions of one manager in one event loop.
        max_staleness, max_age: seconds, see `LocalCache`.

    """

    max_sessions: int
    max_staleness: float
    max_age: float


class View:
    """The table of one manager in one event loop. Other threads may use `kill`, and read `entries`.

    Attributes:
        loop: the event loop.
        gate: the gate of the loop.
        entries: the entries by session id. Only they answer calls.
        get: returns the entry of an id.
        tracked: the tracked connections.
        misses, joined, invalidations, evictions: the counts of `SessionManager.get_cache_stats`.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gate: Gate,
        tracked: TrackedReads,
        limits: Limits,
        neighbors: Neighbors,
        *,
        sandbox_id: str,
        record: Callable[[Reply], Record | None],
        interval_ms: int,
    ) -> None:
        self.loop = loop
        self.tracked = tracked
        self.entries: dict[str, Entry] = {}
        self.get = self.entries.get
        self.misses = self.joined = self.invalidations = self.evictions = self.past_hits = 0
        self.gate = gate
        self._limits = limits
        self._neighbors = neighbors
        self._sandbox_id = sandbox_id
        self._record = record
        self._interval_ms = interval_ms
        self._by_record: dict[str, Entry] = {}
        self._admitted: dict[str, None] = {}
        # Not a plain lock: a garbage collection in the meantime may close connections, which flushes the view.
        self._lock = RLock()

    # Reading

    async def find(self, session_id: str, target: SessionKeys) -> Entry | Reply | None:
        """Return the entry of a session, or the reply to a read of it, or None if the caller must ask the store.

        Callers use this if the entry cannot answer at once. A returned entry can answer.
        """
        waited = False
        while (entry := self.entries.get(session_id)) is not None:
            now = boot_clock.now()
            if entry.waiters is not None:
                if now >= entry.sent_at + self._limits.max_staleness:
                    return None
                self.joined += 1
                return await self._reply(entry, target)
            if now >= entry.until:
                self.kill(target.record)
                break
            if now >= entry.source.lease_until:
                return None
            if waited:
                entry.hits += 1
                return entry
            waited = True
            await self.gate.wait()
        self.misses += 1
        if session_id not in self._admitted:
            return None
        source = self.tracked.source_for(target.record)
        return None if source is None else await self._read(source, session_id, target)

    def admit(self, session_id: str) -> None:
        """Allow tracked reads of the session from now on. Unknown ids would fill the server's tracking table."""
        with self._lock:
            self._admit(session_id)

    def prefetch(self, session_id: str, target: SessionKeys) -> None:
        """Read a session that the store has just reported to be alive, so that the next call finds it here.

        A full cache leaves the read to that call, because otherwise it would read sessions that are used once twice.
        """
        self.admit(session_id)
        room = len(self.entries) < self._limits.max_sessions
        if room and session_id not in self.entries and (source := self.tracked.source_for(target.record)) is not None:
            self._send(source, session_id, target)

    async def _read(self, source: Source, session_id: str, target: SessionKeys) -> Entry | Reply:
        return await self._reply(self._send(source, session_id, target), target)

    def _send(self, source: Source, session_id: str, target: SessionKeys) -> Entry:
        """Register a PENDING entry, and send the read. Replacing an entry kills the old one."""
        entry = Entry(session_id, target.record, source, boot_clock.now())
        with self._lock:
            self._remove(target.record)
            self._admitted.pop(session_id, None)
            self.entries[session_id] = self._by_record[target.record] = entry
            if len(self.entries) > self._limits.max_sessions:
                self._evict()
        self.tracked.send(source, operations.read(target), lambda reply: self.settle(entry, reply))
        return entry

    async def _reply(self, entry: Entry, target: SessionKeys) -> Entry | Reply:
        """Wait for the reply to the read of an entry. If it failed, read again elsewhere, by the same deadline."""
        deadline = self.tracked.deadline()
        if entry.waiters is not None:
            waiter: asyncio.Future[None] = self.loop.create_future()
            entry.waiters.append(waiter)
            await waiter
        if isinstance(entry.reply, Exception):
            return await self.tracked.repeat(entry.source, operations.read(target), entry.reply, deadline)
        return entry if entry.reply is None else entry.reply

    # Replies and reports

    def settle(self, entry: Entry, reply: Any) -> None:
        """Take the reply to a read. The entry becomes LIVE if it is still in the table, and on an open connection."""
        if not isinstance(reply, list | Exception):
            reply = [reply]
        if isinstance(reply, Exception) or reply[0] != s.OK:
            entry.reply = reply
        else:
            self._fill(entry, reply)
        if entry.reply is not None:
            self._discard(entry)
        waiters, entry.waiters = entry.waiters or [], None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _fill(self, entry: Entry, reply: Reply) -> None:
        try:
            record = self._record(reply)
            assert record is not None
            entry.fill(record, reply[2], self._sandbox_id)
        except Exception:  # callers decode the reply again, and get the error
            entry.reply = reply
            return
        self.store(entry, record)

    def store(self, entry: Entry, record: Record) -> None:
        """Make an entry LIVE, unless it was removed from the table since its read was sent."""
        # Before the lock: other views have locks of their own.
        is_newest = self._neighbors.supersede(self, entry)
        with self._lock:
            if self._by_record.get(entry.record) is not entry:
                return
            if is_newest:
                entry.open(record, self._limits.max_age, self._interval_ms)
            else:
                self._remove(entry.record)

    def on_change(self, record: str) -> None:
        """Kill a LIVE entry whose record has changed. The reply for a PENDING entry has yet to arrive, and is newer."""
        entry = self._by_record.get(record)
        if entry is not None and entry.waiters is None and self.kill(record):
            self.invalidations += 1

    def kill(self, record: str) -> bool:
        """Remove the entry of a record, LIVE or PENDING. Return whether there was one."""
        if record not in self._by_record:
            return False
        with self._lock:
            return self._remove(record)

    def entry_of(self, record: str) -> Entry | None:
        """Return the entry of a record, LIVE or PENDING."""
        return self._by_record.get(record)

    def flush(self, source: Source | None = None) -> None:
        """Kill all entries that were read on this connection; without one, all of them."""
        with self._lock:
            for record, entry in list(self._by_record.items()):
                if source is None or entry.source is source:
                    self._remove(record)

    def abandon(self) -> list[Entry]:
        """Forget all entries in a forked child, where another thread may have held the lock. Return them."""
        self._lock = RLock()
        entries = list(self._by_record.values())
        self.entries.clear()
        self._by_record.clear()
        return entries

    @property
    def hits(self) -> int:
        """The number of calls that were answered from memory."""
        return self.past_hits + sum(entry.hits for entry in list(self.entries.values()))

    def _discard(self, entry: Entry) -> None:
        """Remove an entry without a session. Its id is no longer admitted, unless the read merely failed."""
        with self._lock:
            if self._by_record.get(entry.record) is entry:
                self._remove(entry.record)
            if not isinstance(entry.reply, Exception):
                self._admitted.pop(entry.session_id, None)

    def _remove(self, record: str) -> bool:
        entry = self._by_record.pop(record, None)
        if entry is None:
            return False
        if self.entries.get(entry.session_id) is entry:
            del self.entries[entry.session_id]
        entry.close()
        self.past_hits += entry.hits
        self._admit(entry.session_id)
        return True

    def _admit(self, session_id: str) -> None:
        self._admitted[session_id] = None
        if len(self._admitted) > self._limits.max_sessions:
            del self._admitted[next(iter(self._admitted))]

    def _evict(self) -> None:
        """Remove the oldest entry without a hit since the last eviction looked at it. PENDING entries stay."""
        for _ in range(_SECOND_CHANCES + 1):
            session_id, entry = next(iter(self.entries.items()))
            if entry.waiters is None and entry.hits == entry.hits_seen:
                break
            entry.hits_seen = entry.hits
            self.entries[session_id] = self.entries.pop(session_id)
        session_id, entry = next(iter(self.entries.items()))
        self.evictions += 1
        with suppress(KeyError):
            self._remove(entry.record)
