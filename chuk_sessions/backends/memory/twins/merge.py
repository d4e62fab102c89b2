"""Twin of `lua/merge.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import CONFLICT, CORRUPT, OK
from ...base import Reply
from ..keyspace import Fields, Keyspace, pairs
from .include import applied, forget, open_, plain


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Change metadata: set fields, remove fields, or put new ones in the place of all."""
    key = keys[0]
    expected, replace, operation, window, removals = argv[:5]
    opened = open_(space, key, b"v")
    if isinstance(opened, list):
        return opened
    version = plain(opened[4])
    if version is None:
        return [CORRUPT]
    if applied(space, key, operation):
        return [OK, version]
    if expected not in (b"", version):
        return [CONFLICT, version]

    first = 5 + removals
    fresh = dict(pairs(argv[first:]))
    fields: Fields = {b"v": version + 1, **fresh}
    # Nearly every merge only sets a few fields.
    if first == 5 and replace != 1 and operation == b"":
        space.hset(key, fields)
        return [OK, version + 1]
    if operation != b"":
        fields[b"o:" + operation] = space.now + window
    gone = [field for field in argv[5:first] if field not in fresh]
    if replace == 1:
        gone += [field for field in space.hkeys(key) if field.startswith(b"m:") and field not in fresh]
    space.hset(key, fields)
    space.hdel(key, gone)
    if operation != b"":
        forget(space, key, version)
    return [OK, version + 1]
