"""Twin of `lua/delete.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, EXISTS, GONE, MOVED, OK, OTHER_OWNER
from ..keyspace import Keyspace, text
from .include import Opened, open_, plain, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """End a session."""
    key, deadlines, users, operations = keys
    handle, owner, expected, pointer, seen, successor, grace = argv
    opened = open_(space, key, b"u", b"v", b"c")
    if pointer != b"":
        return _clear(space, key, opened, pointer)
    if isinstance(opened, tuple):
        *_, owned_by, version, created = opened
        if seen != b"" and (created is None or text(seen) != text(created)):
            return [GONE]
        if owner not in (b"", owned_by) and (owned_by is not None or space.zscore(users, handle) is None):
            return [OTHER_OWNER]
        if expected != b"" and (version is None or text(expected) != text(version)):
            return [CONFLICT, plain(version) or 0]
    elif opened[0] == MOVED:
        return opened
    space.delete(key)
    space.delete(operations)
    unindex(space, deadlines, users, handle)
    if isinstance(opened, tuple) and successor != b"":
        honored = min(opened[1], space.now + grace)
        space.hset(key, {b"r": successor, b"d": honored})
        space.pexpireat(key, honored)
    return [OK if isinstance(opened, tuple) or opened[0] == CORRUPT else GONE]


def _clear(space: Keyspace, key: str, opened: Opened | Reply, target: bytes) -> Reply:
    if isinstance(opened, tuple):
        return [EXISTS]
    if opened == [MOVED, target]:
        space.delete(key)
        return [OK]
    return opened
