"""Twin of `lua/read.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import OK
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import Record, open_


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Read a whole session."""
    record = open_(space, keys[0])
    if not isinstance(record, Record):
        return record
    return [OK, space.hgetall(keys[0])]
