"""The twins of `lua/include/`."""

from __future__ import annotations

from collections.abc import Sequence
from re import compile as pattern

from ....statuses import CORRUPT, GONE, MOVED
from ...base import Reply
from ..keyspace import Keyspace, Value, text

Opened = tuple[int, int, int, int | None, Value | None, Value | None, Value | None]
"""When the session ends, its deadline, last access and idle timeout or None, all in ms, then three further fields asked
for. The end is the moment at which it dies unless something else happens first.
"""

_LEAST, _MOST = -(10**14 - 1), 10**15 - 1
_O = ord("o")
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


def applied(space: Keyspace, till: Value | None) -> bool:
    """Whether an operation id that the record remembers until then, in ms, still counts."""
    return till is not None and (plain(till) or 0) >= space.now


def forget(space: Keyspace, key: str, operation: bytes) -> None:
    """Forget the operation ids whose time is up: one change in eight does, by the bits of its own id."""
    if operation[0] % 8 != 0:
        return
    fields, now = space.hash(key).items(), space.now
    # A look at the first byte, which an empty name does not have, spares nearly all calls of `startswith`.
    ids = [(field, till) for field, till in fields if field and field[0] == _O and field.startswith(b"o:")]
    stale = [field for field, till in ids if (plain(till) or 0) < now]
    space.hdel(key, stale)


def unindex(space: Keyspace, deadlines: str, users: str, handle: bytes) -> None:
    """Take a session out of both indexes."""
    space.zrem(deadlines, handle)
    space.zrem(users, handle)


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


def sessions_of(space: Keyspace, users: str, deadlines: str, user: int) -> list[bytes]:
    """The live sessions of a user in this bucket."""
    return [
        handle
        for handle in space.zrangebyscore(users, user, user)
        if (space.zscore(deadlines, handle) or 0) > space.now
    ]
