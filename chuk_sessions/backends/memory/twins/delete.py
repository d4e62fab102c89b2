"""Twin of `lua/delete.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, EXISTS, GONE, MOVED, OK
from ..keyspace import Keyspace, text
from .include import Opened, compare_owner, open_, parse_int, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Delete a session, even at full memory or with a record that cannot be read; or only the pointer of a
    rotated id.
    """
    key, deadlines, users, operations = keys
    handle, owner, expected_version, pointer, expected_created, successor, grace = argv
    opened = open_(space, key, b"u", b"v", b"c")
    if pointer != b"":
        return _delete_pointer(space, key, opened, pointer)
    if isinstance(opened, tuple):
        *_, current_owner, version, created = opened
        if expected_created != b"" and (created is None or text(expected_created) != text(created)):
            return [GONE]
        if owner not in (b"", current_owner) and (current_owner is not None or space.zscore(users, handle) is None):
            difference = compare_owner(space, key, current_owner, owner, b"")
            if difference is not None:
                return difference
        if expected_version != b"" and (version is None or text(expected_version) != text(version)):
            return [CONFLICT, parse_int(version) or 0]
    elif opened[0] == MOVED:
        return opened
    space.delete(key)
    space.delete(operations)
    unindex(space, deadlines, users, handle)
    if isinstance(opened, tuple) and successor != b"":
        pointer_expiry = min(opened[1], space.now + grace)
        space.hset(key, {b"r": successor, b"d": pointer_expiry})
        space.pexpireat(key, pointer_expiry)
    return [OK if isinstance(opened, tuple) or opened[0] == CORRUPT else GONE]


def _delete_pointer(space: Keyspace, key: str, opened: Opened | Reply, target: bytes) -> Reply:
    if isinstance(opened, tuple):
        return [EXISTS]
    if opened == [MOVED, target]:
        space.delete(key)
        return [OK]
    return opened
