"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CREATED, EXISTS, FULL, GONE, OTHER_OWNER
from ..keyspace import Fields, Keyspace, pairs, text
from .include import open_, remove, touch

Victim = tuple[bytes, str, str]
"""Handle, and the keys of the record and of its operation ids."""

_MOST_LEAVING = 32
_SWEPT = 16


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

    leaving, full = _make_room(space, keys, argv) if cap > 0 else ([], None)
    if full is not None:
        return full

    deadline = deadline or space.now + ttl
    if deadline <= space.now:
        return [GONE]
    fields = _fields(space.now, deadline, owner, idle, argv[11 + victims :])
    ends = min(deadline, space.now + idle) if idle > 0 else deadline
    _write(space, key, fields, keys[4 + 2 * victims :])
    space.pexpireat(key, ends + retention)
    space.zadd(deadlines, ends, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    space.zadd(sandboxes, ends, sandbox, lower_only=True)
    remove(space, leaving, deadlines, users)
    ended = space.zrangebyscore(deadlines, 0, space.now, _SWEPT)
    return [CREATED, ended] if len(ended) == _SWEPT else [CREATED]


def _make_room(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> tuple[list[Victim], Reply | None]:
    """Return the sessions that leave, or the reply FULL."""
    _, deadlines, users = keys[:3]
    handle, owner, user, cap, victims = argv[0], *argv[5:8], argv[10]
    own: list[Victim] = []
    leaving: list[Victim] = []
    surplus = space.zcount(users, user, user) + 1 - cap
    named = zip(argv[11 : 11 + victims], keys[4 : 4 + 2 * victims : 2], keys[5 : 4 + 2 * victims : 2], strict=True)
    for victim, record, operations in named:
        if space.zscore(users, victim) != user:
            continue
        its_end, its_owner = space.zscore(deadlines, victim) or 0, space.hash(record).get(b"u", owner)
        if victim != handle and its_end > space.now and text(its_owner) == owner:
            own.append((victim, record, operations))
            continue
        surplus -= 1
        if victim != handle and its_end <= space.now:
            leaving.append((victim, record, operations))
    must_leave = max(0, min(surplus, _MOST_LEAVING))
    if len(own) < must_leave:
        remove(space, leaving, deadlines, users)
        return [], [FULL, space.zrangebyscore(users, user, user, cap + _MOST_LEAVING)]
    return leaving + own[:must_leave], None


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
