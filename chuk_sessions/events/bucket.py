"""A bucket that a process reads: its lease, its cursor, and the received events that are not delivered yet."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..core import reader_operations
from ..core.operation import Call
from ..core.reader_operations import Lease, Position


class Bucket:
    """A bucket whose lease this process holds.

    Attributes:
        number: the number of the bucket.
        lease: the claim of its lease.
        valid_until: when the lease ends at the latest, by the clock of the event loop, unless it is renewed.
        received: the id of the last event that was received.
        entries: the received events that are not delivered yet, as the store has them.
        leaving: the bucket is to be released, because it is now the share of another process.
        delivered: the id of the last delivered event; empty once it is acknowledged.
        trimmed: the stored cursor at the latest trim of the bucket.

    """

    def __init__(self, number: int, lease: Lease, cursor: bytes, valid_until: float) -> None:
        self.number = number
        self.lease = lease
        self.valid_until = valid_until
        self.received = self.trimmed = cursor
        self.entries: deque[Any] = deque()
        self.leaving = False
        self.delivered = b""
        self._stored = self._cursor = cursor
        self._read = self._ahead = 0

    @property
    def is_dirty(self) -> bool:
        """Whether the cursor has moved since it was stored."""
        return self._cursor != self._stored

    @property
    def cursor(self) -> bytes:
        """The id of the last event that was acknowledged."""
        return self._cursor

    @property
    def stored(self) -> bytes:
        """The cursor as the store has it."""
        return self._stored

    def receive(self, entries: list[Any]) -> None:
        """Add events that the store has sent."""
        if entries:
            self.entries.extend(entries)
            self.received = entries[-1][0]
            self._ahead += len(entries)

    def deliver(self) -> Any:
        """Return the next event that was received."""
        entry = self.entries.popleft()
        self.delivered = entry[0]
        return entry

    def acknowledge(self, stream_id: bytes) -> None:
        """Move the cursor to the next event."""
        self._cursor = stream_id
        self._read += 1
        self._ahead -= 1
        if stream_id == self.delivered:
            self.delivered = b""

    def leave(self) -> None:
        """Forget the undelivered events, because another process will deliver them."""
        self.leaving = True
        self._ahead -= len(self.entries)
        self.entries.clear()
        self.received = self.delivered or self._cursor

    def commit(self, lease_ms: int) -> tuple[Call, Position]:
        """Return the call that stores the cursor and renews the lease (0 releases it), and that cursor."""
        position = Position(self._stored, self._cursor, self._read, self._ahead)
        return reader_operations.commit(self.number, self.lease, position, lease_ms=lease_ms), position

    def committed(self, position: Position, valid_until: float) -> None:
        """Note that the store has accepted a commit."""
        self._stored = position.cursor
        self._read -= position.read
        self.valid_until = valid_until
