"""Twin of `lua/sweep.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import OK
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import raw, unindex, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Take ended sessions out of the indexes of a sandbox in this bucket."""
    deadlines, users, sandboxes = keys
    due = space.zrangebyscore(deadlines, 0, space.now, whole(argv[1]))
    for handle in due:
        unindex(space, deadlines, users, handle)
    first = space.zfirst(deadlines)
    if first is not None:
        space.zadd(sandboxes, first[1], raw(argv[0]))
    else:
        space.zrem(sandboxes, raw(argv[0]))
    return [OK, len(due)]
