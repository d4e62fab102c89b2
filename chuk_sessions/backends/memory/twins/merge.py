"""Twin of `lua/merge.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, OK, TOO_LARGE
from ..keyspace import Fields, Keyspace, pairs
from .include import applied, bound_of, measure, open_, parse_int, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Change metadata: set fields, remove fields, or replace all fields."""
    key = keys[0]
    expected, replace, operation, window, limit, removals = argv[:6]
    opened = open_(space, key, b"v", b"z")
    if isinstance(opened, list):
        return opened
    *_, version_field, bound_field, _ = opened
    version, bound = parse_int(version_field), bound_of(bound_field)
    if version is None:
        return [CORRUPT]
    if operation != b"" and applied(space, keys[1], operation):
        return [OK]
    if expected not in (b"", version):
        return [CONFLICT, version]

    first = 6 + removals
    changes = argv[first:]
    new_fields = dict(pairs(changes))
    to_remove = argv[6:first]
    if replace == 1:
        to_remove = [*to_remove, *(field for field in space.hkeys(key) if field.startswith(b"m:"))]
    removed = [field for field in dict.fromkeys(to_remove) if field not in new_fields]
    size = bound + sum(map(len, changes))
    if size > limit:
        size = measure(space, key, bound, limit, changes, removed)
        if size > limit:
            return [TOO_LARGE, size]
    fields: Fields = {b"v": version + 1, b"z": int(size), **new_fields}
    space.hset(key, fields)
    space.hdel(key, removed)
    if operation != b"":
        remember(space, keys[1], operation, window)
        space.pexpireat(keys[1], space.now + window)
    return [OK]
