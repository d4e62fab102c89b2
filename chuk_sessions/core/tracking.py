"""Tracked reads: the protocols between a cache and a backend whose server reports changes of what was read.

The server remembers which records were read on a tracked connection, and sends a report there when one of them changes.
Reports and replies arrive on that connection in the order in which the server processed writes and reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .operation import Call, Reply


class Source(Protocol):
    """A tracked connection, as a cache sees it.

    Attributes:
        lease_until: until when its reports are up to date (seconds of `boot_clock`). Each heartbeat extends the lease.
        open_until: the end of the lease, or an earlier time that the cache sets.

    """

    lease_until: float
    open_until: float


class Observer(Protocol):
    """A cache, as tracked connections see it. They call it in the thread of their event loop."""

    def on_lease(self, source: Source) -> None:
        """Take note of a new end of the lease."""

    def on_change(self, record: str) -> None:
        """Take note that a record has changed since it was last read on a tracked connection."""

    def on_flush(self, source: Source) -> None:
        """Take note that all records that were read on this connection may have changed without a report."""

    def on_large_input(self) -> None:
        """Take note that a connection has received so many bytes that further ones may wait in its socket."""


OnReply = Callable[[Any], object]
"""Takes the reply to a tracked read, in order with reports: a `Reply`, a bare status, or an exception."""


class TrackedReads(Protocol):
    """The tracked connections of one cache in one event loop. Connections are opened in the background."""

    def source_for(self, record: str) -> Source | None:
        """Return the connection to the server that has the record, or None if there is none yet."""

    def send(self, source: Source, call: Call, on_reply: OnReply) -> None:
        """Send a read. `on_reply` is called exactly once."""

    def deadline(self) -> float:
        """Return the time by which a call that begins now has to return."""

    async def repeat(self, source: Source, call: Call, failure: Exception, deadline: float) -> Reply:
        """Repeat a failed read on the connections that other calls use, by the deadline. Raises as `Backend.run`."""

    def is_tracking(self) -> bool:
        """Return whether there is a tracked connection at present."""

    @property
    def why_off(self) -> str:
        """The reason why there is no tracked connection."""

    def abandon(self) -> None:
        """Forget all connections in a forked child, without closing them."""

    def close(self) -> None:
        """Close all connections."""


class TrackingBackend(Protocol):
    """A backend whose server can report changes."""

    def track(self, observer: Observer, max_staleness: float) -> TrackedReads:
        """Return tracked reads for the running event loop. A lease lasts `max_staleness` seconds."""


class ImmediateBackend(Protocol):
    """A backend in this process, which replies at once."""

    def peek(self, call: Call) -> Reply:
        """Run an operation that only reads."""
