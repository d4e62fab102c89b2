"""Twin of `lua/extend.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.event_entries import EXTENDED
from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK, TOO_FAR
from ..keyspace import Keyspace, text
from .include import applied, emit_change, expire_with_last, index_score, open_, parse_int, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Extend a session's deadline, once per operation id."""
    key, deadlines, operations, events = keys
    handle, additional, latest, operation, window, retention, sandbox = argv[:7]
    opened = open_(space, key, b"v", b"e", b"x")
    if isinstance(opened, list):
        return opened
    _, deadline, accessed, idle, version_field, emits, latest_operation = opened
    version = parse_int(version_field)
    if version is None:
        return [CORRUPT]
    latest_until = 0 if latest_operation is None else parse_int(space.hash(key).get(b"y")) or 0
    remembers = latest_until > space.now
    if remembers and (operation == latest_operation or applied(space, operations, operation)):
        return [OK]
    new_deadline = deadline + additional
    if new_deadline > latest:
        return [TOO_FAR, deadline]
    if emits is not None:
        emit_change(space, key, events, sandbox, handle, EXTENDED, version + 1, new_deadline, emits)
    space.hset(key, {b"d": new_deadline, b"v": version + 1, b"x": operation, b"y": space.now + window})
    expiry = new_deadline if idle is None else min(new_deadline, accessed + idle)
    space.pexpireat(key, expiry + retention)
    space.zadd(deadlines, index_score(expiry, emits), handle)
    if remembers:
        remember(space, operations, text(latest_operation or b""), latest_until - space.now)
        expire_with_last(space, operations)
    return [OK]
