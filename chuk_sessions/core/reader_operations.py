"""The operations of event readers: an entry for each script, and a function that builds its calls.

A reader has a cursor in each bucket: the id of the last event that it has read there. The processes of a reader share
the buckets. A process needs the lease of a bucket to move the cursor. Each claim of a lease has a higher fence than the
one before, so a process that has lost its lease cannot move the cursor any more.

The hash `readers` of a bucket has these fields for each reader, followed by its name:

| field | holds |
|---|---|
| `c` | the cursor |
| `n` | how many events there were up to the cursor, those that this reader has missed included |
| `l` | how many events the cap has removed before this reader received them |
| `o` | the process that holds the lease |
| `f` | the fence of its claim |
| `u` | ms until which the lease holds |
| `w` | ms for which it was granted |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import keys
from . import statuses as s
from .operation import Call, Operation, Reply, names

CLAIM = Operation(
    "claim", names("readers events"), names("reader owner lease newest"), s.DONE | {s.HELD}, retryable=True,
    needs_index=True,
)  # fmt: skip
COMMIT = Operation(
    "commit",
    names("readers events"),
    names("reader owner fence lease from cursor read ahead"),
    s.DONE | {s.GONE},
    retryable=True,
    needs_index=True,
)
JOIN = Operation("join", names("members"), names("member lease"), s.DONE, retryable=True, needs_index=True)
TRIM = Operation("trim", names("readers events"), (), s.DONE, retryable=True, needs_index=True)
PROGRESS = Operation("progress", names("readers events"), (), s.DONE, read_only=True, retryable=True, needs_index=True)
RETIRE = Operation(
    "retire", names("readers"), names("reader"), s.DONE | {s.GONE}, retryable=True, needs_index=True,
    status_after_retry={s.GONE: s.OK},
)  # fmt: skip


class Position(NamedTuple):
    """How far a process has read a bucket.

    Attributes:
        stored: the cursor as it was stored last.
        cursor: the id of the last event that was acknowledged.
        read: number of events from one to the other.
        ahead: number of events that were received, but not yet acknowledged.

    """

    stored: bytes
    cursor: bytes
    read: int = 0
    ahead: int = 0


class Lease(NamedTuple):
    """A process's claim of a bucket for a reader."""

    reader: bytes
    owner: bytes
    fence: int


def claim(bucket: int, reader: bytes, owner: bytes, *, lease_ms: int, newest: bool) -> Call:
    """Claim a bucket. With `newest`, a reader that is new there begins after the newest event."""
    return Call(CLAIM, (keys.readers(bucket), keys.events(bucket)), (reader, owner, lease_ms, int(newest)))


def commit(bucket: int, lease: Lease, position: Position, *, lease_ms: int) -> Call:
    """Move the cursor, and renew the lease for `lease_ms`, or release it with 0."""
    argv = (*lease, lease_ms, *position)
    return Call(COMMIT, (keys.readers(bucket), keys.events(bucket)), argv)


def join(home: int, reader: str, member: bytes, *, lease_ms: int) -> Call:
    """Register a process of a reader, and list all. `home` is the bucket that has the list. With 0 ms, leave."""
    return Call(JOIN, (keys.members(home, reader),), (member, lease_ms))


def trim(bucket: int) -> Call:
    """Remove the events that every reader has read, except for the last one."""
    return Call(TRIM, (keys.readers(bucket), keys.events(bucket)), ())


def progress(bucket: int) -> Call:
    """Read how far each reader is."""
    return Call(PROGRESS, (keys.readers(bucket), keys.events(bucket)), ())


def retire(bucket: int, reader: bytes) -> Call:
    """Remove a reader."""
    return Call(RETIRE, (keys.readers(bucket),), (reader,))


def members_of(reply: Reply) -> dict[bytes, int]:
    """Return the processes in a reply of JOIN, each with the ms for which it has been silent."""
    _, now, flat = reply
    return {member: now - int(seen) for member, seen in zip(flat[::2], flat[1::2], strict=True)}


class Progress(NamedTuple):
    """The progress of a reader in a bucket.

    Attributes:
        reader: its name.
        cursor: the id of the last event that it has read.
        unread: how many events it has not read.
        oldest: the id of the oldest of those; empty without one.
        lost: how many events the cap removed before this reader received them.
        owner: the process that holds the lease; empty without one.

    """

    reader: bytes
    cursor: bytes
    unread: int
    oldest: bytes
    lost: int
    owner: bytes

    def behind_ms(self, now: int) -> int:
        """Return for how long the oldest unread event has been waiting, in ms."""
        return max(0, now - int(self.oldest.split(b"-")[0])) if self.oldest else 0


def progress_of(reply: Reply) -> Iterator[Progress]:
    """Return the progress of each reader in a reply of PROGRESS."""
    flat = reply[2]
    return (Progress(*flat[first : first + 6]) for first in range(0, len(flat), 6))
