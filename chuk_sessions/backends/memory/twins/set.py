"""Twin of `lua/set.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import CORRUPT, OK
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, open_, plain, raw


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Set fields of metadata; the others stay."""
    record = open_(space, keys[0], b"v")
    if not isinstance(record, Record):
        return record
    version = plain(record.more[0])
    if version is None:
        return [CORRUPT]
    space.hset(keys[0], [b"v", text(version + 1), *map(raw, argv)])
    return [OK]
