"""Twin of `lua/rewrite.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CONFLICT, CORRUPT, OK
from ..keyspace import Fields, Keyspace, Value, pairs, text
from .include import bound_of, measure, open_, parse_int
from .include_owners import keeps_encrypted, other_salt

_LARGEST = 9007199254740991


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Write owner and metadata of a session in another encoding, if they are as they were read. The version stays."""
    key, users = keys
    handle, expected_created, expected_version, user, removals = argv[:5]
    opened = open_(space, key, b"c", b"v", b"z")
    if isinstance(opened, list):
        return opened
    *_, created, version, bound = opened
    if parse_int(version) is None:
        return [CORRUPT]
    if not (_equal(created, expected_created) and _equal(version, expected_version)):
        return [CONFLICT, parse_int(version)]
    first = 5 + removals
    changes = argv[first:]
    salted = bool(changes) and changes[0] == b"s"
    refusal = other_salt(space, key, changes[1]) if salted else None
    if refusal is not None:
        return refusal
    if not salted and removals and keeps_encrypted(space, key, dict(pairs(changes))):
        return [CONFLICT, parse_int(version)]
    # The limit of the size does not apply: no data was added.
    size = measure(space, key, bound_of(bound), _LARGEST, changes[2:] if salted else changes)
    fields: Fields = {b"z": int(size), **dict(pairs(changes))}
    space.hset(key, fields)
    space.hdel(key, argv[5:first])
    if user != b"":
        space.zadd(users, user, handle)
    return [OK]


def _equal(stored: Value | None, expected: Any) -> bool:
    return stored is not None and text(stored) == text(expected)
