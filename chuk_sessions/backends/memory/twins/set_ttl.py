"""Twin of `lua/set_ttl.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK
from ..keyspace import Keyspace
from .include import move_deadline, open_, parse_int


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Set a session's deadline, counted from now. It may be earlier than the present one."""
    key, deadlines, sandboxes = keys
    handle, sandbox, ttl, latest, retention = argv
    opened = open_(space, key, b"v", b"e")
    if isinstance(opened, list):
        return opened
    _, _, accessed, idle, version_field, emits, _ = opened
    version = parse_int(version_field)
    if version is None:
        return [CORRUPT]
    deadline = min(space.now + ttl, latest)
    move_deadline(
        space, key, deadlines, sandboxes, handle, sandbox, version + 1, deadline, accessed, idle, retention, emits
    )
    return [OK]
