"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.modes import CREATE, REPLACE
from ....core.operation import Reply
from ....core.statuses import CORRUPT, CREATED, EXISTS, GONE
from ..keyspace import Fields, Keyspace, Value, pairs
from . import include
from .include import Opened, Victim

_SWEEP_BATCH = 16


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Create a session; or touch, refuse, or replace the one that exists."""
    key, deadlines, users = keys[:3]
    _, _, ttl, new_deadline, new_idle, owner, _, cap, retention = argv[:9]
    create, mode, operation, window, events, _, _, victims = argv[9:17]
    operations, creations = (*keys[4 + 2 * victims :], "", "")[:2]
    if operation != b"" and include.applied(space, creations, operation):
        return [CREATED]
    opened = include.open_(space, key, b"u", b"e")
    created, version = space.now, 1
    if isinstance(opened, tuple):
        if mode != REPLACE:
            return _leave(space, keys, argv, opened)
        succession = include.succeed(space, key)
        if succession is None:
            return [CORRUPT]
        created, version = succession
    elif opened[0] != GONE or create == 0:
        return opened
    evicted: list[Victim] = []
    full = include.make_room(space, keys, argv, evicted) if cap > 0 else None
    if full is not None:
        return full

    deadline = new_deadline or space.now + ttl
    if deadline <= space.now:
        return [GONE]
    emits = 1 if events == 1 else None
    expiry = min(deadline, space.now + new_idle) if new_idle > 0 else deadline
    score = include.index_score(expiry, emits)
    fields: Fields = {b"c": created, b"d": deadline, b"a": space.now, b"v": version}
    fields.update(_optional(owner, new_idle, emits, argv[17 + victims :]))
    include.overwrite(space, key, fields)
    if operations:
        space.delete(operations)
    if operation != b"":
        include.remember_creation(space, creations, operation, window)
    space.pexpireat(key, expiry + retention)
    _index(space, keys, argv, score)
    include.remove_sessions(space, evicted, deadlines, users)
    expired = include.list_expired(space, deadlines, _SWEEP_BATCH)
    return [CREATED, *expired] if sum(map(len, expired)) == _SWEEP_BATCH else [CREATED]


def _leave(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], opened: Opened) -> Reply:
    """Touch a live session, or refuse it."""
    _, deadline, _, idle, current_owner, emits, _ = opened
    handle, owner, retention, mode = argv[0], argv[5], argv[8], argv[10]
    if mode == CREATE:
        return [EXISTS]
    if owner not in (b"", current_owner):
        difference = include.compare_owner(space, keys[0], current_owner, owner, argv[14])
        if difference is not None:
            return difference
    include.touch(space, keys[0], keys[1], handle, deadline, idle, retention, emits)
    return [EXISTS]


def _index(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], score: float) -> None:
    _, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, owner, user = *argv[:2], *argv[5:7]
    space.zadd(deadlines, score, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    space.zadd(sandboxes, score, sandbox, lower_only=True)


def _optional(owner: bytes, idle: int, emits: Value | None, others: Sequence[bytes]) -> Fields:
    """Return the fields that not every session has, and the others."""
    fields: Fields = {}
    if owner != b"":
        fields[include.owner_field(owner)] = owner
    if idle > 0:
        fields[b"i"] = idle
    if emits is not None:
        fields[b"e"] = emits
    fields.update(pairs(others))
    return fields
