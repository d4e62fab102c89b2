"""Twin of `lua/sweep.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import OK
from ...base import Reply
from ..keyspace import Keyspace
from .include import unindex


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Take ended sessions out of the indexes of a sandbox in this bucket."""
    deadlines, users, sandboxes = keys
    sandbox, limit = argv
    due = space.zrangebyscore(deadlines, 0, space.now, limit)
    for handle in due:
        unindex(space, deadlines, users, handle)
    first = space.zfirst(deadlines)
    if first is not None:
        space.zadd(sandboxes, first[1], sandbox)
    else:
        space.zrem(sandboxes, sandbox)
    return [OK, len(due)]
