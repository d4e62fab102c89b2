"""Twin of `lua/merge.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import CONFLICT, CORRUPT, OK
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, applied, forget, open_, plain, raw, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Change metadata: set fields, remove fields, or put new ones in the place of all."""
    key, operation = keys[0], raw(argv[2])
    record = open_(space, key, b"v", b"o:" + operation)
    if not isinstance(record, Record):
        return record
    version = plain(record.more[0])
    if version is None:
        return [CORRUPT]
    if applied(space, record.more[1]):
        return [OK]
    if argv[0] != b"" and whole(argv[0]) != version:
        return [CONFLICT, version]

    first = 5 + whole(argv[4])
    fields = [b"v", text(version + 1)]
    if operation != b"":
        fields += (b"o:" + operation, text(space.now + whole(argv[3])))
    pairs = [raw(arg) for arg in argv[first:]]
    fresh = set(pairs[::2])
    fields += pairs
    gone = [field for field in map(raw, argv[5:first]) if field not in fresh]
    if whole(argv[1]) == 1:
        gone += [field for field in space.hkeys(key) if field.startswith(b"m:") and field not in fresh]
    space.hset(key, fields)
    space.hdel(key, gone)
    if operation != b"":
        forget(space, key, version)
    return [OK]
