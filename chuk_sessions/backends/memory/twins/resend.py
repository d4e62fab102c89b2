"""Twin of `lua/resend.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace, pairs
from .enqueue import next_place


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Move dead letters to the end of their queue."""
    messages, waiting, dead = keys
    ordered, moved = argv[0], 0
    score = next_place(space, waiting) if ordered else space.now
    for message, text in pairs(argv[1:]):
        if space.zscore(dead, message) is None:
            continue
        space.hset(messages, {message: text})
        space.zadd(waiting, score, message)
        space.zrem(dead, message)
        moved += 1
        score += ordered
    return [OK, moved]
