"""Twins of the shared steps in `lua/include/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from re import compile as pattern
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, GONE, MOVED, NEEDS_INDEX, OK
from ..keyspace import Keyspace, Value, pairs, text

Opened = tuple[int, int, int, int | None, Value | None, Value | None, Value | None]
"""Expiry, deadline, last access, and idle timeout (or None) of a live session, all in ms, and three further fields.

The expiry is the deadline or, if that is earlier, the end of the idle timeout.
"""

_SMALLEST, _LARGEST = -(10**14 - 1), 10**15 - 1
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def parse_int(value: Value | None) -> int | None:
    """Parse a whole number in plain digits, at most 15 characters; None for anything else."""
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else None
    if value is None or len(value) > 15:
        return None
    return int(value) if value.isdigit() or _DIGITS(value) else None


def open_(space: Keyspace, key: str, first: bytes = b"", second: bytes = b"", third: bytes = b"") -> Opened | Reply:
    """Open a record: return `Opened` if its session is alive, else the reply that finishes the operation, a list."""
    field = space.hash(key).get
    deadline_text, idle_text = field(b"d"), field(b"i")
    if deadline_text is None:
        return [GONE]
    deadline, accessed = parse_int(deadline_text), parse_int(field(b"a"))
    if deadline is None:
        return [CORRUPT]
    if deadline <= space.now:
        return [GONE]
    if accessed is None:
        pointer = field(b"r")
        return [CORRUPT] if pointer is None else [MOVED, pointer]
    if idle_text is None:
        return deadline, deadline, accessed, None, field(first), field(second), field(third)
    idle = parse_int(idle_text)
    if idle is None:
        return [CORRUPT]
    expiry = min(deadline, accessed + idle)
    if expiry <= space.now:
        return [GONE]
    return expiry, deadline, accessed, idle, field(first), field(second), field(third)


def touch(
    space: Keyspace, key: str, deadlines: str, handle: bytes, deadline: int, idle: int | None, retention: int
) -> None:
    """Record an access now, and move the expiry of an idle session in its record and in the index."""
    space.hset_one(key, b"a", space.now)
    if idle is None:
        return
    expiry = min(deadline, space.now + idle)
    space.zadd(deadlines, expiry, handle)
    space.pexpireat(key, expiry + retention)


def access(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Open a session, and record the access unless the touch interval after the last one is not over. Of an idle
    session, the expiry moves with it, at least once within each half of the idle timeout.

    Takes the keys and arguments of `validate` and of `load`.
    """
    key, interval = keys[0], argv[0] if argv else 0
    opened = open_(space, key)
    if isinstance(opened, list):
        return opened
    _, deadline, accessed, idle, *_ = opened
    if idle is not None:
        interval = min(interval, idle // 2)
    if space.now - accessed >= interval and space.now > accessed:
        if idle is not None and len(keys) < 2:
            return [NEEDS_INDEX]
        deadlines, handle, retention = (keys[1], *argv[1:]) if len(keys) > 1 else ("", b"", 0)
        touch(space, key, deadlines, handle, deadline, idle, retention)
    return [OK]


def move_deadline(
    space: Keyspace,
    key: str,
    deadlines: str,
    sandboxes: str | None,
    handle: bytes,
    sandbox: bytes,
    version: int,
    deadline: int,
    accessed: int,
    idle: int | None,
    retention: int,
) -> None:
    """Move a session's deadline: in its record, in the index, and in the expiry of the record's key.

    A deadline that may become earlier needs the index of sandboxes, too.
    """
    expiry = deadline if idle is None else min(deadline, accessed + idle)
    space.hset(key, {b"d": deadline, b"v": version})
    space.pexpireat(key, expiry + retention)
    space.zadd(deadlines, expiry, handle)
    if sandboxes is not None:
        space.zadd(sandboxes, expiry, sandbox, lower_only=True)


def applied(space: Keyspace, operations: str, operation: bytes) -> bool:
    """Return whether an operation id was applied and still counts."""
    valid_until = space.zscore(operations, operation)
    return valid_until is not None and valid_until > space.now


def remember(space: Keyspace, operations: str, operation: bytes, window: int) -> None:
    """Store an operation id, and remove those that no longer count. The caller sets the expiry of the key."""
    space.zadd(operations, space.now + window, operation)
    space.zremrangebyscore(operations, space.now)


def expire_with_last(space: Keyspace, operations: str) -> None:
    """Expire the key of a session's operation ids together with the id that counts longest."""
    last = space.zlast(operations)
    if last is not None:
        space.pexpireat(operations, last[1])


def bound_of(field: Value | None) -> float:
    """Return the stored upper bound of a session's size; infinity if it cannot be read, so that `measure` counts."""
    bound = parse_int(field)
    return inf if bound is None else bound


def measure(
    space: Keyspace, key: str, bound: float, limit: int, changes: Sequence[bytes], removals: Sequence[bytes] = ()
) -> float:
    """Return an upper bound of a session's size, once `changes` (field, value pairs) are written and the fields in
    `removals` are gone.

    Derive it from the old bound if that stays within the limit; otherwise count. The size is the names and values, in
    bytes, of all fields whose names are longer than one character.
    """
    growth = 0
    for field, value in pairs(changes):
        old_length = space.hstrlen(key, field)
        growth += len(value) - old_length + (0 if old_length else len(field))
    growth -= sum(len(field) + length for field in removals if (length := space.hstrlen(key, field)))
    if bound + growth <= limit:
        return bound + growth
    fields = space.hash(key).items()
    return growth + sum(len(field) + len(text(value)) for field, value in fields if len(field) > 1)


def unindex(space: Keyspace, deadlines: str, users: str, handle: bytes) -> None:
    """Remove a session from both indexes."""
    space.zrem(deadlines, handle)
    space.zrem(users, handle)


def remove_sessions(space: Keyspace, sessions: Iterable[tuple[bytes, str, str]], deadlines: str, users: str) -> None:
    """Remove sessions, each given as its handle and the keys of its record and of its operation ids."""
    for handle, record, operations in sessions:
        space.delete(record)
        space.delete(operations)
        unindex(space, deadlines, users, handle)


def page(
    space: Keyspace, key: str, lowest: int, highest: int | None, limit: int, after: Sequence[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """Return at most `limit` members with scores from `lowest` to `highest`, in order, and score and member of the last
    one if there may be more.

    `after` is the score and member of the entry to continue after, or empty for the first page.
    """
    entry = (int(after[0]), after[1]) if after else None
    members = space.zrangebyscore(key, lowest, highest, limit, entry)
    if not members or len(members) < limit:
        return members, []
    return members, [text(space.zscore(key, members[-1]) or 0), members[-1]]


def filter_live(space: Keyspace, deadlines: str, handles: list[bytes]) -> list[bytes]:
    """Return the handles whose sessions are alive according to the index."""
    return [handle for handle in handles if (space.zscore(deadlines, handle) or 0) > space.now]
