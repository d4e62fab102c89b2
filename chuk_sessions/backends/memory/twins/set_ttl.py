"""Twin of `lua/set_ttl.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.event_entries import EXTENDED
from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK
from ..keyspace import Keyspace
from .include import emit_change, move_deadline, open_, parse_int


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Set a session's deadline, counted from now. It may be earlier than the present one."""
    key, deadlines, sandboxes, events = keys
    handle, sandbox, ttl, latest, retention = argv[:5]
    opened = open_(space, key, b"v", b"e")
    if isinstance(opened, list):
        return opened
    _, _, accessed, idle, version_field, emits, _ = opened
    version = parse_int(version_field)
    if version is None:
        return [CORRUPT]
    deadline = min(space.now + ttl, latest)
    if emits is not None:
        emit_change(space, key, events, sandbox, handle, EXTENDED, version + 1, deadline, emits)
    move_deadline(
        space, key, deadlines, sandboxes, handle, sandbox, version + 1, deadline, accessed, idle, retention, emits
    )
    return [OK]
