"""Twin of `lua/append.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CORRUPT, ENCRYPTED, LIST_FULL, NOT_A_LIST, OK, TOO_LARGE
from ..keyspace import Keyspace, text
from .include import applied, bound_of, emit_update, measure, open_, parse_int, remember


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Append to a metadata value that is a list, without decoding it; a missing one is an empty list."""
    key = keys[0]
    field, items, most, limit, operation, window = argv[:6]
    opened = open_(space, key, b"v", b"z", field)
    if isinstance(opened, list):
        return opened
    *_, version_field, bound_field, stored = opened
    version, bound = parse_int(version_field), bound_of(bound_field)
    if version is None:
        return [CORRUPT]
    old = b"[]" if stored is None else text(stored)
    if old[:1] != b"[" or old[-1:] != b"]" or len(old) < 2:
        return [ENCRYPTED if old[:1] == b"E" else NOT_A_LIST]
    if operation != b"" and applied(space, keys[1], operation):
        return [OK, 0 if stored is None else len(old)]
    separator = b"" if len(old) == 2 or not items else b","
    new = b"%b%b%b]" % (old[:-1], separator, items)
    if most != b"" and len(new) > most:
        return [LIST_FULL, len(new)]
    size = bound + len(new) + (len(field) if stored is None else -len(old))
    if size > limit:
        size = measure(space, key, bound, limit, (field, new))
        if size > limit:
            return [TOO_LARGE, size]
    if len(keys) > 2:
        emit_update(space, keys, argv[6:], version + 1, opened[1])
    space.hset(key, {field: new, b"v": version + 1, b"z": int(size)})
    if operation != b"":
        remember(space, keys[1], operation, window)
        space.pexpireat(keys[1], space.now + window)
    return [OK, len(new)]
