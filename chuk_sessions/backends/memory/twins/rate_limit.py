"""Twin of `lua/rate_limit.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CEILING, CORRUPT, OK, TOO_LARGE
from ..keyspace import Keyspace, text
from .include import applied, bound_of, measure, open_, parse_int, remember

_UNITS_PER_MS = 100


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Count a request against a rate limit, by the generic cell rate algorithm. This is not an access."""
    key = keys[0]
    field, cost, capacity, limit, operation, window = argv
    opened = open_(space, key, field)
    if isinstance(opened, list):
        return opened
    *_, stored, _, _ = opened
    clock, arrival = space.now * _UNITS_PER_MS, parse_int(stored)
    if stored is not None and arrival is None:
        return [CORRUPT]
    backlog = 0 if arrival is None else max(arrival - clock, 0)
    if operation != b"" and applied(space, keys[1], operation):
        return [OK, backlog]
    total = backlog + cost
    if total > capacity:
        return [CEILING, backlog]
    value = b"%d" % (clock + total)
    if stored is not None and len(value) <= len(text(stored)):
        space.hset_one(key, field, value)
    else:
        size = measure(space, key, bound_of(space.hash(key).get(b"z")), limit, (field, value))
        if size > limit:
            return [TOO_LARGE, size]
        space.hset(key, {field: value, b"z": int(size)})
    if operation != b"":
        remember(space, keys[1], operation, window)
        space.pexpireat(keys[1], space.now + window)
    return [OK, total]
