"""Twin of `lua/extend.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import CORRUPT, OK, TOO_FAR
from ...base import Reply
from ..keyspace import Keyspace
from .include import applied, forget, open_, plain


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Move a session's deadline further away, once for each operation id."""
    key, deadlines = keys
    handle, additional, latest, operation, window, retention = argv
    opened = open_(space, key, b"v", b"o:" + operation)
    if isinstance(opened, list):
        return opened
    _, before, accessed, idle, version_text, till, _ = opened
    version = plain(version_text)
    if version is None:
        return [CORRUPT]
    if applied(space, till):
        return [OK]
    deadline = before + additional
    if deadline > latest:
        return [TOO_FAR, before]
    ends = deadline if idle is None else min(deadline, accessed + idle)
    space.hset(key, {b"d": deadline, b"v": version + 1, b"o:" + operation: space.now + window})
    space.pexpireat(key, ends + retention)
    space.zadd(deadlines, ends, handle)
    forget(space, key, operation)
    return [OK]
