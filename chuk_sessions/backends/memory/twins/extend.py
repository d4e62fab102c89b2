"""Twin of `lua/extend.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.event_entries import EXTENDED
from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK, TOO_FAR
from ..keyspace import Keyspace
from .include import applied, emit_change, expire_with_last, move_deadline, open_, parse_int, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Extend a session's deadline, once per operation id."""
    key, deadlines, operations, events = keys
    handle, additional, latest, operation, window, retention, sandbox = argv[:7]
    opened = open_(space, key, b"v", b"e")
    if isinstance(opened, list):
        return opened
    _, old_deadline, accessed, idle, version_field, emits, _ = opened
    version = parse_int(version_field)
    if version is None:
        return [CORRUPT]
    if applied(space, operations, operation):
        return [OK]
    deadline = old_deadline + additional
    if deadline > latest:
        return [TOO_FAR, old_deadline]
    if emits is not None:
        emit_change(space, key, events, sandbox, handle, EXTENDED, version + 1, deadline, emits)
    move_deadline(space, key, deadlines, None, handle, b"", version + 1, deadline, accessed, idle, retention, emits)
    remember(space, operations, operation, window)
    expire_with_last(space, operations)
    return [OK]
