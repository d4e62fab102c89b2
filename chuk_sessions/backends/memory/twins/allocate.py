"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import CREATED, EXISTS, FULL, GONE, OTHER_OWNER
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, open_, raw, sessions_of, touch, unindex, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Make a session, or touch the one that is there already."""
    key, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, owner, user = raw(argv[0]), raw(argv[1]), raw(argv[5]), whole(argv[6])
    idle, cap, retention, victims = whole(argv[4]), whole(argv[7]), whole(argv[8]), whole(argv[10])

    record = open_(space, key, b"u")
    if isinstance(record, Record):
        if owner != b"" and owner != record.more[0]:
            return [OTHER_OWNER]
        touch(space, key, deadlines, handle, record, retention)
        return [EXISTS]
    if record[0] != GONE or whole(argv[9]) == 0:
        return record

    leaving = dict(zip(map(raw, argv[11 : 11 + victims]), keys[4:], strict=True))
    if cap > 0:
        staying = [other for other in sessions_of(space, users, deadlines, user) if other not in leaving]
        if len(staying) >= cap:
            return [FULL, staying]

    deadline = whole(argv[3]) or space.now + whole(argv[2])
    if deadline <= space.now:
        return [GONE]
    fields = _fields(space, argv, deadline)
    fresh = set(fields[::2])
    stale = [field for field in space.hkeys(key) if field not in fresh]
    ends = min(deadline, space.now + idle) if idle > 0 else deadline
    space.hset(key, fields)
    space.hdel(key, stale)
    space.pexpireat(key, ends + retention)
    space.zadd(deadlines, ends, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    space.zadd(sandboxes, ends, sandbox, lower_only=True)
    _clear(space, deadlines, users, leaving)
    return [CREATED]


def _fields(space: Keyspace, argv: Sequence[Arg], deadline: int) -> list[bytes]:
    owner, idle, victims = raw(argv[5]), whole(argv[4]), whole(argv[10])
    fields = [b"c", text(space.now), b"d", text(deadline), b"a", text(space.now), b"v", b"1"]
    if owner != b"":
        fields += (b"u", owner)
    if idle > 0:
        fields += (b"i", text(idle))
    fields += map(raw, argv[11 + victims :])
    return fields


def _clear(space: Keyspace, deadlines: str, users: str, leaving: dict[bytes, str]) -> None:
    for other, record_key in leaving.items():
        space.delete(record_key)
        unindex(space, deadlines, users, other)
    for dead in space.zrangebyscore(deadlines, 0, space.now, 3):
        unindex(space, deadlines, users, dead)
