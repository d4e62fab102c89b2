"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from ....core.modes import CREATE, REPLACE
from ....core.operation import Reply
from ....core.statuses import CORRUPT, CREATED, EXISTS, GONE, OTHER_OWNER
from ..keyspace import Fields, Keyspace, pairs
from . import include
from .include import Victim

_SWEEP_BATCH = 16


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Create a session; or touch, refuse, or replace the one that exists."""
    key, deadlines, users = keys[:3]
    _, _, lifetime, new_idle, _, cap, retention, create, _, operation, window, events, victims = argv[:13]
    first = 13 + victims
    owner = argv[first + 1] if argv[first] == b"u" else b""
    operations, creations = (*keys[4 + 2 * victims :], "", "")[:2]
    if operation != b"" and include.applied(space, creations, operation):
        return [CREATED]
    now, exists = space.now, space.exists(key)
    found = _at_existing(space, keys, argv, owner) if exists else [GONE]
    if isinstance(found, list) and (found[0] != GONE or create == 0):
        return found
    created, version = (now, 1) if isinstance(found, list) else found
    evicted: list[Victim] = []
    full = include.make_room(space, keys, argv, owner, evicted) if cap > 0 else None
    if full is not None:
        return full

    deadline = now + lifetime if lifetime > 0 else -lifetime
    if deadline <= now:
        return [GONE]
    expiry = min(deadline, now + new_idle) if new_idle > 0 else deadline
    score = include.index_score(expiry, events or None)
    fields: Fields = {b"c": created, b"d": deadline, b"a": now, b"v": version}
    fields.update(pairs(argv[first:]))
    include.write_record(space, key, fields, exists)
    if operations:
        space.delete(operations)
    if operation != b"":
        include.remember_creation(space, creations, operation, window)
    space.pexpireat(key, expiry + retention)
    earliest = _index(space, keys, argv, owner, score)
    if evicted:
        include.remove_sessions(space, evicted, deadlines, users)
    if earliest > now:
        return [CREATED]
    expired = include.list_expired(space, deadlines, _SWEEP_BATCH)
    return [CREATED, *expired] if sum(map(len, expired)) == _SWEEP_BATCH else [CREATED]


def _at_existing(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], owner: bytes) -> tuple[int, int] | Reply:
    """Touch or refuse a live session, or return creation time and version of the one that replaces it."""
    handle, retention, mode = argv[0], argv[6], argv[8]
    opened = include.open_(space, keys[0], b"u", b"e")
    if isinstance(opened, list):
        return opened
    if mode == REPLACE:
        return include.succeed(space, keys[0]) or [CORRUPT]
    _, deadline, _, idle, current_owner, emits, _ = opened
    if mode == CREATE:
        return [EXISTS]
    if owner not in (b"", current_owner):
        return [OTHER_OWNER]
    include.touch(space, keys[0], keys[1], handle, deadline, idle, retention, emits)
    return [EXISTS]


def _index(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], owner: bytes, score: float) -> float:
    """Add the session to the indexes. Return when the first session of the sandbox expired or expires."""
    _, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, user = *argv[:2], argv[4]
    space.zadd(deadlines, score, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    earliest = space.zscore(sandboxes, sandbox)
    if earliest is None or earliest > score:
        space.zadd(sandboxes, score, sandbox)
    return inf if earliest is None else earliest
