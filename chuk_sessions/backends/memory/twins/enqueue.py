"""Twin of `lua/enqueue.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace, pairs


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Add messages to an endpoint's queue, in order, until it is full. Skip those that are in it already."""
    endpoints, messages, waiting = keys
    endpoint, limit, ordered = argv[:3]
    if endpoint not in space.hash(endpoints):
        return [GONE]
    score = next_place(space, waiting) if ordered else space.now
    room = limit - space.zcard(waiting)
    for number, (message, text) in enumerate(pairs(argv[3:])):
        if message in space.hash(messages):
            continue
        if room <= 0:
            return [OK, number]
        space.hset(messages, {message: text})
        space.zadd(waiting, score, message)
        room -= 1
        score += ordered
    return [OK, len(argv[3:]) // 2]


def next_place(space: Keyspace, waiting: str) -> int:
    """Return the place of the next message in an ordered queue: the time, or more if the last one has that place."""
    last = space.zlast(waiting)
    return space.now if last is None else max(space.now, int(last[1]) + 1)
