"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CREATED, EXISTS, FULL, GONE, OTHER_OWNER
from ..keyspace import Fields, Keyspace, pairs, text
from .include import open_, remove_sessions, touch

Victim = tuple[bytes, str, str]
"""A handle, and the keys of the record and of its operation ids."""

_MAX_EVICTIONS = 32
_LISTED_EXPIRED = 16


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Create a session, or touch the one that exists."""
    key, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, ttl, deadline, idle, owner, user, cap, retention, create, victims = argv[:11]

    opened = open_(space, key, b"u")
    if isinstance(opened, tuple):
        _, current_deadline, _, current_idle, current_owner, *_ = opened
        if owner not in (b"", current_owner):
            return [OTHER_OWNER]
        touch(space, key, deadlines, handle, current_deadline, current_idle, retention)
        return [EXISTS]
    if opened[0] != GONE or create == 0:
        return opened

    evicted, full = _make_room(space, keys, argv) if cap > 0 else ([], None)
    if full is not None:
        return full

    deadline = deadline or space.now + ttl
    if deadline <= space.now:
        return [GONE]
    fields = _fields(space.now, deadline, owner, idle, argv[11 + victims :])
    expiry = min(deadline, space.now + idle) if idle > 0 else deadline
    _write_record(space, key, fields, keys[4 + 2 * victims :])
    space.pexpireat(key, expiry + retention)
    space.zadd(deadlines, expiry, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    space.zadd(sandboxes, expiry, sandbox, lower_only=True)
    remove_sessions(space, evicted, deadlines, users)
    expired = space.zrangebyscore(deadlines, 0, space.now, _LISTED_EXPIRED)
    return [CREATED, expired] if len(expired) == _LISTED_EXPIRED else [CREATED]


def _make_room(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> tuple[list[Victim], Reply | None]:
    """Return the sessions that the cap evicts, or the reply FULL."""
    _, deadlines, users = keys[:3]
    handle, owner, user, cap, victims = argv[0], *argv[5:8], argv[10]
    live: list[Victim] = []
    evicted: list[Victim] = []
    surplus = space.zcount(users, user, user) + 1 - cap
    candidates = zip(argv[11 : 11 + victims], keys[4 : 4 + 2 * victims : 2], keys[5 : 4 + 2 * victims : 2], strict=True)
    for victim, record, operations in candidates:
        if space.zscore(users, victim) != user:
            continue
        expiry, victim_owner = space.zscore(deadlines, victim) or 0, space.hash(record).get(b"u", owner)
        if victim != handle and expiry > space.now and text(victim_owner) == owner:
            live.append((victim, record, operations))
            continue
        surplus -= 1
        if victim != handle and expiry <= space.now:
            evicted.append((victim, record, operations))
    evictions = max(0, min(surplus, _MAX_EVICTIONS))
    if len(live) < evictions:
        remove_sessions(space, evicted, deadlines, users)
        return [], [FULL, space.zrangebyscore(users, user, user, cap + _MAX_EVICTIONS)]
    return evicted + live[:evictions], None


def _fields(now: int, deadline: int, owner: bytes, idle: int, metadata: Sequence[bytes]) -> Fields:
    fields: Fields = {b"c": now, b"d": deadline, b"a": now, b"v": 1}
    if owner != b"":
        fields[b"u"] = owner
    if idle > 0:
        fields[b"i"] = idle
    fields.update(pairs(metadata))
    return fields


def _write_record(space: Keyspace, key: str, fields: Fields, operations: Sequence[str]) -> None:
    old_fields = space.hkeys(key)
    space.hset(key, fields)
    if old_fields:
        space.hdel(key, [field for field in old_fields if field not in fields])
    for name in operations:
        space.delete(name)
