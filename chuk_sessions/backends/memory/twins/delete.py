"""Twin of `lua/delete.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import CONFLICT, EXISTS, GONE, MOVED, OK, OTHER_OWNER
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import Record, open_, plain, raw, unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """End a session."""
    record = open_(space, keys[0], b"u", b"v")
    if argv[3] != b"":
        return _clear(space, keys[0], record, raw(argv[3]))
    if isinstance(record, Record):
        if argv[1] != b"" and argv[1] != record.more[0]:
            return [OTHER_OWNER]
        if argv[2] != b"" and raw(argv[2]) != record.more[1]:
            return [CONFLICT, plain(record.more[1]) or 0]
    elif record[0] == MOVED:
        return record
    space.delete(keys[0])
    unindex(space, keys[1], keys[2], raw(argv[0]))
    return [OK if isinstance(record, Record) else GONE]


def _clear(space: Keyspace, key: str, record: Record | Reply, target: bytes) -> Reply:
    if isinstance(record, Record):
        return [EXISTS]
    if record == [MOVED, target]:
        space.delete(key)
        return [OK]
    return record
