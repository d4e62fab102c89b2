"""Twin of `lua/extend.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import CORRUPT, OK, TOO_FAR
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, applied, forget, open_, plain, raw, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Move a session's deadline further away, once for each operation id."""
    key, operation = keys[0], raw(argv[3])
    record = open_(space, key, b"v", b"o:" + operation)
    if not isinstance(record, Record):
        return record
    version = plain(record.more[0])
    if version is None:
        return [CORRUPT]
    if applied(space, record.more[1]):
        return [OK]
    deadline = record.deadline + whole(argv[1])
    if deadline > whole(argv[2]):
        return [TOO_FAR, record.deadline]
    ends = deadline if record.idle is None else min(deadline, record.accessed + record.idle)
    space.hset(
        key, (b"d", text(deadline), b"v", text(version + 1), b"o:" + operation, text(space.now + whole(argv[4])))
    )
    space.pexpireat(key, ends + whole(argv[5]))
    space.zadd(keys[1], ends, raw(argv[0]))
    forget(space, key, version)
    return [OK]
