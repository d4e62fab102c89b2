"""Twin of `lua/merge.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, OK, TOO_LARGE
from ..keyspace import Fields, Keyspace, pairs
from .include import applied, bound_of, measure, open_, plain, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Change metadata: set fields, remove fields, or put new ones in the place of all."""
    key = keys[0]
    expected, replace, operation, window, limit, removals = argv[:6]
    opened = open_(space, key, b"v", b"z")
    if isinstance(opened, list):
        return opened
    *_, version_text, bound_text, _ = opened
    version, bound = plain(version_text), bound_of(bound_text)
    if version is None:
        return [CORRUPT]
    if operation != b"" and applied(space, keys[1], operation):
        return [OK]
    if expected not in (b"", version):
        return [CONFLICT, version]

    first = 6 + removals
    changes = argv[first:]
    fresh = dict(pairs(changes))
    removed = argv[6:first]
    if replace == 1:
        removed = [*removed, *(field for field in space.hkeys(key) if field.startswith(b"m:"))]
    gone = [field for field in dict.fromkeys(removed) if field not in fresh]
    size = bound + sum(map(len, changes))
    if size > limit:
        size = measure(space, key, bound, limit, changes, gone)
        if size > limit:
            return [TOO_LARGE, size]
    fields: Fields = {b"v": version + 1, b"z": int(size), **fresh}
    space.hset(key, fields)
    space.hdel(key, gone)
    if operation != b"":
        remember(space, keys[1], operation, window)
        space.pexpireat(keys[1], space.now + window)
    return [OK]
