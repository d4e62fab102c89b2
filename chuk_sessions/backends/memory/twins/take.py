"""Twin of `lua/take.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace, text
from .include import parse_int


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Take messages that are due from an endpoint's queue, for a time."""
    messages, waiting = keys
    limit, lease, ordered = argv
    claim = space.now + lease
    first = space.zfirst(waiting)
    if first is None:
        return [OK, space.now, claim, 0, []]
    due = (parse_int(space.hash(messages).get(b"n")) or 0) if ordered else int(first[1])
    if due > space.now:
        return [OK, space.now, claim, due, []]
    ids = [first[0]] if ordered else space.zrangebyscore(waiting, 0, space.now, limit)
    if ordered:
        space.hset(messages, {b"n": claim})
    found: list[bytes] = []
    for message in ids:
        if not ordered:
            space.zadd(waiting, claim, message)
        found += message, text(space.hash(messages).get(message, b""))
    last = space.zfirst(waiting)
    return [OK, space.now, claim, claim if ordered or last is None else int(last[1]), found]
