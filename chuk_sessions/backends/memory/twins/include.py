"""The twins of `lua/include/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from re import compile as pattern

from ....core.operation import Reply
from ....core.statuses import CORRUPT, GONE, MOVED
from ..keyspace import Keyspace, Value, pairs, text

Opened = tuple[int, int, int, int | None, Value | None, Value | None, Value | None]
"""When the session ends, its deadline, last access and idle timeout or None, all in ms, then three further fields asked
for. The end is the moment at which it dies unless something else happens first.
"""

_LEAST, _MOST = -(10**14 - 1), 10**15 - 1
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def plain(value: Value | None) -> int | None:
    """A whole number in plain digits, at most 15 characters, or None."""
    if isinstance(value, int):
        return value if _LEAST <= value <= _MOST else None
    if value is None or len(value) > 15:
        return None
    return int(value) if value.isdigit() or _DIGITS(value) else None


def open_(space: Keyspace, key: str, first: bytes = b"", second: bytes = b"", third: bytes = b"") -> Opened | Reply:
    """What `Opened` says of a record, or the reply that ends the operation, which is a list."""
    field = space.hash(key).get
    deadline_text, idle_text = field(b"d"), field(b"i")
    if deadline_text is None:
        return [GONE]
    deadline, accessed = plain(deadline_text), plain(field(b"a"))
    if deadline is None:
        return [CORRUPT]
    if deadline <= space.now:
        return [GONE]
    if accessed is None:
        pointer = field(b"r")
        return [CORRUPT] if pointer is None else [MOVED, pointer]
    if idle_text is None:
        return deadline, deadline, accessed, None, field(first), field(second), field(third)
    idle = plain(idle_text)
    if idle is None:
        return [CORRUPT]
    ends = min(deadline, accessed + idle)
    if ends <= space.now:
        return [GONE]
    return ends, deadline, accessed, idle, field(first), field(second), field(third)


def touch(
    space: Keyspace, key: str, deadlines: str, handle: bytes, deadline: int, idle: int | None, retention: int
) -> None:
    """Mark an access now; an idle session's end moves with it."""
    space.hset_one(key, b"a", space.now)
    if idle is None:
        return
    ends = min(deadline, space.now + idle)
    space.zadd(deadlines, ends, handle)
    space.pexpireat(key, ends + retention)


def applied(space: Keyspace, operations: str, operation: bytes) -> bool:
    """Return whether an operation id was applied and still counts."""
    valid_until = space.zscore(operations, operation)
    return valid_until is not None and valid_until > space.now


def remember(space: Keyspace, operations: str, operation: bytes, window: int) -> None:
    """Record an operation id, and remove those that no longer count. Leaves the expiry of the key to the caller."""
    space.zadd(operations, space.now + window, operation)
    space.zremrangebyscore(operations, space.now)


def expire_last(space: Keyspace, operations: str) -> None:
    """Let the key of operation ids expire together with the id that counts longest."""
    last = space.zlast(operations)
    if last is not None:
        space.pexpireat(operations, last[1])


def bound_of(text: Value | None) -> float:
    """Return the stored upper bound of a session's size; infinity where it cannot be read, so that it is counted."""
    bound = plain(text)
    return inf if bound is None else bound


def measure(
    space: Keyspace, key: str, bound: float, limit: int, changes: Sequence[bytes], removals: Sequence[bytes] = ()
) -> float:
    """Return an upper bound of a session's size once `changes` (field, value pairs) are written and the fields in
    `removals` are gone: from the old bound where that suffices, otherwise counted.
    """
    grown = 0
    for field, value in pairs(changes):
        before = space.hstrlen(key, field)
        grown += len(value) - before + (0 if before else len(field))
    grown -= sum(len(field) + length for field in removals if (length := space.hstrlen(key, field)))
    if bound + grown <= limit:
        return bound + grown
    fields = space.hash(key).items()
    return grown + sum(len(field) + len(text(value)) for field, value in fields if len(field) > 1)


def unindex(space: Keyspace, deadlines: str, users: str, handle: bytes) -> None:
    """Take a session out of both indexes."""
    space.zrem(deadlines, handle)
    space.zrem(users, handle)


def remove(space: Keyspace, sessions: Iterable[tuple[bytes, str, str]], deadlines: str, users: str) -> None:
    """Remove sessions, each given as its handle and the keys of its record and of its operation ids."""
    for handle, record, operations in sessions:
        space.delete(record)
        space.delete(operations)
        unindex(space, deadlines, users, handle)


def page(
    space: Keyspace, key: str, lowest: int, highest: int | None, limit: int, after: Sequence[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """At most `limit` members with scores from `lowest` to `highest`, after the entry whose score and member are in
    `after`, unless it is empty; and score and member of the last one, if there may be more.
    """
    place = (int(after[0]), after[1]) if after else None
    found = space.zrangebyscore(key, lowest, highest, limit, place)
    return found, [text(space.zscore(key, found[-1]) or 0), found[-1]] if found and len(found) == limit else []


def living(space: Keyspace, deadlines: str, handles: list[bytes]) -> list[bytes]:
    """Those of the handles whose sessions are alive according to the index."""
    return [handle for handle in handles if (space.zscore(deadlines, handle) or 0) > space.now]
