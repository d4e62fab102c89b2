"""Twin of `lua/extend.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK, TOO_FAR
from ..keyspace import Keyspace
from .include import applied, expire_last, open_, plain, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Move a session's deadline further away, once for each operation id."""
    key, deadlines, operations = keys
    handle, additional, latest, operation, window, retention = argv
    opened = open_(space, key, b"v")
    if isinstance(opened, list):
        return opened
    _, before, accessed, idle, version_text, *_ = opened
    version = plain(version_text)
    if version is None:
        return [CORRUPT]
    if applied(space, operations, operation):
        return [OK]
    deadline = before + additional
    if deadline > latest:
        return [TOO_FAR, before]
    ends = deadline if idle is None else min(deadline, accessed + idle)
    space.hset(key, {b"d": deadline, b"v": version + 1})
    space.pexpireat(key, ends + retention)
    space.zadd(deadlines, ends, handle)
    remember(space, operations, operation, window)
    expire_last(space, operations)
    return [OK]
