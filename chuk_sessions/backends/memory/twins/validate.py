"""Twin of `lua/validate.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import NEEDS_INDEX, OK
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import Record, open_, raw, touch, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Answer whether a session is alive, and mark the access."""
    record = open_(space, keys[0])
    if not isinstance(record, Record):
        return record
    interval = whole(argv[0])
    if record.idle is not None:
        interval = min(interval, record.idle // 2)
    if space.now - record.accessed >= interval and space.now > record.accessed:
        if record.idle is not None and len(keys) < 2:
            return [NEEDS_INDEX]
        handle, retention = (raw(argv[1]), whole(argv[2])) if len(keys) > 1 else (b"", 0)
        touch(space, keys[0], keys[-1], handle, record, retention)
    return [OK]
