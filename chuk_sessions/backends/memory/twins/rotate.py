"""Twin of `lua/rotate.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import OK
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, open_, raw, unindex, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Give a session a new id in the same bucket; the old one points to it for a grace period."""
    old, new, deadlines, users = keys
    if isinstance(open_(space, new), Record):
        return [OK]
    record = open_(space, old)
    if not isinstance(record, Record):
        return record
    space.copy(old, new)
    space.zadd(deadlines, record.ends, raw(argv[1]))
    user = space.zscore(users, raw(argv[0]))
    if user is not None:
        space.zadd(users, user, raw(argv[1]))
    space.delete(old)
    unindex(space, deadlines, users, raw(argv[0]))
    grace = whole(argv[2])
    if grace > 0:
        honoured = min(record.deadline, space.now + grace)
        space.hset(old, (b"r", raw(argv[1]), b"d", text(honoured)))
        space.pexpireat(old, honoured)
    return [OK]
