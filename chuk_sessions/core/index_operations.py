"""The operations on indexes: an entry for each script, and a function that builds its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import statuses as s
from .keys import IndexKeys, session_keys_for_entry, session_keys_to_delete
from .operation import Arg, Call, Operation, Reply, names

SWEEP_LIMIT: Final = 500
"""Most expired sessions that the reply of a sweep lists for the next sweep to remove."""

PAGE_LIMIT: Final = 500
"""Most entries of an index that one call reads, so that no call holds up the server."""

Cursor = tuple[bytes, ...]
"""The end of a page of an index: score and member of its last entry, as in the reply. Empty before the first page."""

START: Final[Cursor] = ()
"""The cursor before the first entry."""

LIST = Operation(
    "list",
    names("deadlines users"),
    names("user limit score after"),
    s.DONE,
    read_only=True,
    retryable=True,
    needs_index=True,
)
FIND = Operation(
    "find",
    names("users"),
    names("lowest highest word offset limit"),
    s.DONE | {s.CORRUPT},
    read_only=True,
    retryable=True,
    needs_index=True,
    command="ZRANGEBYSCORE",
)
COUNT = Operation(
    "count",
    names("deadlines users"),
    names("user limit score after"),
    s.DONE,
    read_only=True,
    retryable=True,
    needs_index=True,
)
SWEEP = Operation(
    "sweep", names("deadlines users sandboxes events ended"), names("sandbox limit rest"), s.DONE, retryable=True
)
DUE = Operation(
    "due", names("sandboxes"), names("limit score after"), s.DONE, read_only=True, retryable=True, needs_index=True
)
READ_EVENTS = Operation(
    "read_events",
    names("events"),
    names("first last word limit"),
    s.DONE | {s.CORRUPT},
    read_only=True,
    retryable=True,
    needs_index=True,
    command="XRANGE",
)


def list_(index: IndexKeys, *, user: int | None, limit: int, after: Cursor = START) -> Call:
    """Read a page of the handles of live sessions in one bucket, of all users or of the one with this hash."""
    return Call(LIST, (index.deadlines, index.users), (b"" if user is None else user, limit, *after))


def find(index: IndexKeys, user: int, limit: int = PAGE_LIMIT) -> Call:
    """Read the first handles of the user with this hash in one bucket, those of expired sessions included."""
    return Call(FIND, (index.users,), (user, user, b"LIMIT", 0, limit))


def count(index: IndexKeys, *, user: int | None, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Count the live sessions of one bucket, or one page of those of the user with this hash."""
    argv: tuple[Arg, ...] = (b"",) if user is None else (user, limit, *after)
    return Call(COUNT, (index.deadlines, index.users), argv)


def cursor(reply: Reply) -> Cursor | None:
    """Return the cursor after the page in this reply, or None when it was the last page."""
    return tuple(reply[2:]) or None


def sweep(index: IndexKeys, sandbox_id: str, ended: Sequence[bytes] = ()) -> Call:
    """Remove expired sessions of one bucket, each with the event of its end, and list up to SWEEP_LIMIT more.

    `ended` are handles from the reply of an earlier sweep.
    """
    targets = [session_keys_for_entry(index, handle) for handle in ended]
    keys = (index.deadlines, index.users, index.sandboxes, index.events, *session_keys_to_delete(targets))
    return Call(SWEEP, keys, (sandbox_id.encode(), SWEEP_LIMIT, *ended))


def due(sandboxes: str, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Read a page of the sandboxes that have expired sessions in one bucket."""
    return Call(DUE, (sandboxes,), (limit, *after))


def read_events(events: str, *, after: bytes = b"", limit: int = PAGE_LIMIT) -> Call:
    """Read the first entries of a stream of events, or the first ones after the entry with the id `after`.

    The reply is OK and a list of entries, each its id and a list of field, value, field, value..., see `event_entries`.
    """
    return Call(READ_EVENTS, (events,), (b"(" + after if after else b"-", b"+", b"COUNT", limit))
