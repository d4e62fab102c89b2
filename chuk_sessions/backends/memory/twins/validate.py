"""Twin of `lua/validate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import NEEDS_INDEX, OK
from ..keyspace import Keyspace
from .include import open_, touch


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Check whether a session is alive, and record the access."""
    key, interval = keys[0], argv[0] if argv else 0
    opened = open_(space, key, b"e")
    if isinstance(opened, list):
        return opened
    _, deadline, accessed, idle, emits, *_ = opened
    if idle is not None:
        interval = min(interval, idle // 2)
    if space.now - accessed >= interval and space.now > accessed:
        if idle is not None and len(keys) < 2:
            return [NEEDS_INDEX]
        deadlines, handle, retention = (keys[1], *argv[1:]) if len(keys) > 1 else ("", b"", 0)
        touch(space, key, deadlines, handle, deadline, idle, retention, emits)
    return [OK]
