"""Twin of `lua/sweep.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import remove


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove ended sessions of a sandbox in this bucket, and name those to remove next."""
    deadlines, users, sandboxes = keys[:3]
    sandbox, limit = argv[:2]
    named = zip(argv[2:], keys[3::2], keys[4::2], strict=True)
    ended = [one for one in named if (ends := space.zscore(deadlines, one[0])) is not None and ends <= space.now]
    remove(space, ended, deadlines, users)
    first = space.zfirst(deadlines)
    if first is not None:
        space.zadd(sandboxes, first[1], sandbox)
    else:
        space.zrem(sandboxes, sandbox)
    return [OK, len(ended), space.zrangebyscore(deadlines, 0, space.now, limit)]
