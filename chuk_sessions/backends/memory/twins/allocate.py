"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import CREATED, EXISTS, FULL, GONE, OTHER_OWNER
from ...base import Reply
from ..keyspace import Fields, Keyspace, pairs
from .include import open_, sessions_of, touch, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Make a session, or touch the one that is there already."""
    key, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, ttl, deadline, idle, owner, user, cap, retention, create, victims = argv[:11]

    opened = open_(space, key, b"u")
    if isinstance(opened, tuple):
        _, before, _, old_idle, old_owner, *_ = opened
        if owner not in (b"", old_owner):
            return [OTHER_OWNER]
        touch(space, key, deadlines, handle, before, old_idle, retention)
        return [EXISTS]
    if opened[0] != GONE or create == 0:
        return opened

    leaving: list[tuple[bytes, str]] = []
    if cap > 0:
        alive = sessions_of(space, users, deadlines, user)
        surplus = len(alive) + 1 - cap
        named = zip(argv[11 : 11 + victims], keys[4 : 4 + victims], strict=True)
        leaving = [victim for victim in named if victim[0] in alive][: max(0, surplus)]
        if len(leaving) < surplus:
            return [FULL, alive]

    deadline = deadline or space.now + ttl
    if deadline <= space.now:
        return [GONE]
    fields = _fields(space.now, deadline, owner, idle, argv[11 + victims :])
    ends = min(deadline, space.now + idle) if idle > 0 else deadline
    _write(space, key, fields, keys[4 + victims :])
    space.pexpireat(key, ends + retention)
    space.zadd(deadlines, ends, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    space.zadd(sandboxes, ends, sandbox, lower_only=True)
    _clear(space, deadlines, users, leaving)
    return [CREATED]


def _fields(now: int, deadline: int, owner: bytes, idle: int, metadata: Sequence[bytes]) -> Fields:
    fields: Fields = {b"c": now, b"d": deadline, b"a": now, b"v": 1}
    if owner != b"":
        fields[b"u"] = owner
    if idle > 0:
        fields[b"i"] = idle
    fields.update(pairs(metadata))
    return fields


def _write(space: Keyspace, key: str, fields: Fields, operations: Sequence[str]) -> None:
    left = space.hkeys(key)
    space.hset(key, fields)
    if left:
        space.hdel(key, [field for field in left if field not in fields])
    for name in operations:
        space.delete(name)


def _clear(space: Keyspace, deadlines: str, users: str, leaving: list[tuple[bytes, str]]) -> None:
    for other, record_key in leaving:
        space.delete(record_key)
        unindex(space, deadlines, users, other)
    for dead in space.zrangebyscore(deadlines, 0, space.now, 3):
        unindex(space, deadlines, users, dead)
