"""Twin of `lua/rotate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.event_entries import LOGGED_IN, REPLACED, ROTATED
from ....core.operation import Reply
from ....core.statuses import CORRUPT, GONE, OK
from ..keyspace import Fields, Keyspace, text
from .include import add_event, emit, index_score, open_, parse_int, unindex
from .include_grants import leave_pointer


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then
    invalid, except for its grants. At login, the session starts a new lifetime without grants.
    """
    old, new, deadlines, users, old_operations, new_operations, events, *sandboxes = keys
    old_handle, new_handle, grace, expected_created, sandbox, *lifetime = argv
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
    if emits is not None:
        field = space.hash(old).get
        fields = (created, version_field, field(b"u"), field(b"s"), emits)
        letter = REPLACED if sandboxes else ROTATED
        emit(space, events, sandbox, old_handle, letter, new_handle, deadline, fields)
    if sandboxes and version is not None:
        deadline, expiry, emits = _start_lifetime(space, keys, argv, version, lifetime)
        space.zadd(sandboxes[0], index_score(expiry, emits), sandbox, lower_only=True)
    else:
        space.copy(old, new)
        space.hdel(new, [b"t"])
    space.zadd(deadlines, index_score(expiry, emits), new_handle)
    user = space.zscore(users, old_handle)
    if user is not None:
        space.zadd(users, user, new_handle)
    if space.zcard(old_operations) > 0:
        space.rename(old_operations, new_operations)
    space.delete(old)
    unindex(space, deadlines, users, old_handle)
    # A login ends the grants.
    last_grant = None if sandboxes else parse_int(space.hash(new).get(b"p"))
    leave_pointer(space, old, new_handle, deadline, grace, last_grant)
    return [OK]


def _start_lifetime(
    space: Keyspace, keys: Sequence[str], argv: Sequence[Any], version: int, lifetime: Sequence[Any]
) -> tuple[int, int, int | None]:
    """Copy a session to its new id, without the fields of the old lifetime, and write the event of the login.

    Return deadline and expiry of the new lifetime, and its field for events.
    """
    ttl, latest, idle, retention, most, *kept = lifetime
    old, new = keys[:2]
    deadline, emits = min(space.now + ttl, latest), most or None
    expiry = min(deadline, space.now + idle) if idle > 0 else deadline
    if emits is not None:
        record = space.hash(old)
        times = (b"%d" % space.now, b"%d" % (deadline - space.now))
        owner, salt = text(record.get(b"u", b"")), record.get(b"s")
        described = LOGGED_IN + b"%d" % (version + 1)
        salt = None if salt is None else text(salt)
        add_event(space, keys[6], most, argv[4], argv[1], described, times, owner, salt)
    space.copy(old, new)
    space.hdel(new, [field for field in space.hkeys(new) if field[:2] not in kept])
    fields: Fields = {b"c": space.now, b"d": deadline, b"a": space.now, b"v": version + 1}
    if idle > 0:
        fields[b"i"] = idle
    if emits is not None:
        fields[b"e"] = emits
    space.hset(new, fields)
    space.pexpireat(new, expiry + retention)
    return deadline, expiry, emits
