"""Twin of `lua/rotate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace, text
from .include import index_score, open_, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Rotate a session to a new id in the same bucket; the old id points to it for a grace period and is then
    invalid.
    """
    old, new, deadlines, users, old_operations, new_operations = keys
    old_handle, new_handle, grace, expected_created = argv
    rotated = isinstance(open_(space, new), tuple)
    if rotated:
        return [OK]
    opened = open_(space, old, b"c", b"e")
    if isinstance(opened, list):
        return opened
    expiry, deadline, _, _, created, emits, _ = opened
    if expected_created != b"" and (created is None or text(expected_created) != text(created)):
        return [GONE]
    space.copy(old, new)
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
