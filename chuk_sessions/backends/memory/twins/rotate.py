"""Twin of `lua/rotate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, GONE, OK
from ..keyspace import Fields, Keyspace, text
from .include import index_score, open_, parse_int, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then
    invalid. At login, the session starts a new lifetime.
    """
    old, new, deadlines, users, old_operations, new_operations, *sandboxes = keys
    old_handle, new_handle, grace, expected_created, *lifetime = argv
    rotated = isinstance(open_(space, new), tuple)
    if rotated:
        return [OK]
    opened = open_(space, old, b"c", b"v", b"e")
    if isinstance(opened, list):
        return opened
    expiry, deadline, _, _, created, version_field, emits = opened
    if expected_created != b"" and (created is None or text(expected_created) != text(created)):
        return [GONE]
    version = parse_int(version_field)
    if sandboxes and version is None:
        return [CORRUPT]
    space.copy(old, new)
    if sandboxes and version is not None:
        deadline, expiry, emits = _start_lifetime(space, new, version, lifetime)
        space.zadd(sandboxes[0], index_score(expiry, emits), lifetime[0], lower_only=True)
    space.zadd(deadlines, index_score(expiry, emits), new_handle)
    user = space.zscore(users, old_handle)
    if user is not None:
        space.zadd(users, user, new_handle)
    if space.zcard(old_operations) > 0:
        space.rename(old_operations, new_operations)
    space.delete(old)
    unindex(space, deadlines, users, old_handle)
    if grace > 0:
        pointer_expiry = min(deadline, space.now + grace)
        space.hset(old, {b"r": new_handle, b"d": pointer_expiry})
        space.pexpireat(old, pointer_expiry)
    return [OK]


def _start_lifetime(space: Keyspace, key: str, version: int, lifetime: Sequence[Any]) -> tuple[int, int, int | None]:
    """Drop the fields of the old lifetime. Return deadline and expiry of the new one, and its flag for events."""
    _, ttl, latest, idle, retention, events, *kept = lifetime
    space.hdel(key, [field for field in space.hkeys(key) if field[:2] not in kept])
    deadline = min(space.now + ttl, latest)
    expiry = min(deadline, space.now + idle) if idle > 0 else deadline
    fields: Fields = {b"c": space.now, b"d": deadline, b"a": space.now, b"v": version + 1}
    if idle > 0:
        fields[b"i"] = idle
    emits = 1 if events == 1 else None
    if emits is not None:
        fields[b"e"] = emits
    space.hset(key, fields)
    space.pexpireat(key, expiry + retention)
    return deadline, expiry, emits
