"""Twin of `lua/set.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, OK, TOO_LARGE
from ..keyspace import Fields, Keyspace, pairs
from .include import bound_of, measure, open_, parse_int
from .include_owners import other_salt


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Set metadata fields; the others stay. Nearly every change needs only this; `merge` can do the rest."""
    key = keys[0]
    limit, field, value = argv[:3]
    opened = open_(space, key, b"v", b"z")
    if isinstance(opened, list):
        return opened
    version, bound = parse_int(opened[4]), bound_of(opened[5])
    if version is None:
        return [CORRUPT]
    refusal = other_salt(space, key, value) if field == b"s" else None
    if refusal is not None:
        return refusal
    size = bound if field == b"s" else bound + len(field) + len(value)
    rest = argv[3:]
    if rest:
        size += sum(map(len, rest))
    if size > limit:
        size = measure(space, key, bound, limit, rest if field == b"s" else argv[1:])
        if size > limit:
            return [TOO_LARGE, size]
    fields: Fields = {b"v": version + 1, b"z": int(size), field: value}
    if rest:
        fields.update(pairs(rest))
    space.hset(key, fields)
    return [OK]
