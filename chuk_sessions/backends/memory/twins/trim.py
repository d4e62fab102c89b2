"""Twin of `lua/trim.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace, text
from .include import is_after


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove the events of this bucket that every known reader has read, except for the last one."""
    readers, events = keys
    slowest: bytes | None = None
    for field, value in space.hash(readers).items():
        cursor = text(value)
        if field.startswith(b"c") and (slowest is None or is_after(slowest, cursor)):
            slowest = cursor
    return [OK, 0 if slowest is None else space.xtrim_minid(events, slowest)]
