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
    opened = open_(space, key, b"v", b"o:" + operation)
    if isinstance(opened, list):
        return opened
    *_, version_text, till, _ = opened
    version = plain(version_text)
    if version is None:
        return [CORRUPT]
    if applied(space, till):
        return [OK]
    if expected not in (b"", version):
        return [CONFLICT, version]

    first = 5 + removals
    fresh = dict(pairs(argv[first:]))
    fields: Fields = {b"v": version + 1, **fresh}
    if operation != b"":
        fields[b"o:" + operation] = space.now + window
    gone = [field for field in argv[5:first] if field not in fresh]
    if replace == 1:
        gone += [field for field in space.hkeys(key) if field.startswith(b"m:") and field not in fresh]
    space.hset(key, fields)
    space.hdel(key, gone)
    if operation != b"":
        forget(space, key, operation)
    return [OK]
