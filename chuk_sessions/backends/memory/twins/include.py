"""The twins of `lua/include/`."""

from __future__ import annotations

from dataclasses import dataclass
from re import compile as pattern

from ....statuses import CORRUPT, GONE, MOVED
from ...base import Arg, Reply
from ..keyspace import Keyspace, text

_DIGITS = pattern(rb"-?[0-9]+").fullmatch


@dataclass(slots=True)
class Record:
    """An open record; times in ms. `ends` is the moment at which it dies unless something else happens first."""

    ends: int
    deadline: int
    accessed: int
    idle: int | None
    more: list[bytes | None]


def plain(value: bytes | None) -> int | None:
    """A whole number in plain digits, at most 15 characters, or None."""
    return None if value is None or len(value) > 15 or not _DIGITS(value) else int(value)


def open_(space: Keyspace, key: str, *more: bytes) -> Record | Reply:
    """The record, or the reply that ends the operation."""
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
        return Record(deadline, deadline, accessed, None, [field(name) for name in more] if more else [])
    idle = plain(idle_text)
    if idle is None:
        return [CORRUPT]
    ends = min(deadline, accessed + idle)
    if ends <= space.now:
        return [GONE]
    return Record(ends, deadline, accessed, idle, [field(name) for name in more])


def touch(space: Keyspace, key: str, deadlines: str, handle: bytes, record: Record, retention: int) -> None:
    """Mark an access now; an idle session's end moves with it."""
    space.hset_one(key, b"a", text(space.now))
    if record.idle is None:
        return
    ends = min(record.deadline, space.now + record.idle)
    space.zadd(deadlines, ends, handle)
    space.pexpireat(key, ends + retention)


def applied(space: Keyspace, till: bytes | None) -> bool:
    """Whether an operation id that the record remembers until then, in ms, still counts."""
    return till is not None and (plain(till) or 0) >= space.now


def forget(space: Keyspace, key: str, version: int) -> None:
    """Forget the operation ids whose time is up, at every 16th change."""
    if version % 16 != 0:
        return
    ids = [(field, till) for field, till in space.hash(key).items() if field.startswith(b"o:")]
    stale = [field for field, till in ids if (plain(till) or 0) < space.now]
    space.hdel(key, stale)


def unindex(space: Keyspace, deadlines: str, users: str, handle: bytes) -> None:
    """Take a session out of both indexes."""
    space.zrem(deadlines, handle)
    space.zrem(users, handle)


def sessions_of(space: Keyspace, users: str, deadlines: str, user: int) -> list[bytes]:
    """The live sessions of a user in this bucket."""
    return [
        handle
        for handle in space.zrangebyscore(users, user, user)
        if (space.zscore(deadlines, handle) or 0) > space.now
    ]


def whole(arg: Arg) -> int:
    """An ARGV element that is a whole number."""
    return int(arg)


def raw(arg: Arg) -> bytes:
    """An ARGV element that is bytes."""
    return arg if isinstance(arg, bytes) else text(arg)
