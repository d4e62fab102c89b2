"""Twin of `lua/increment.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from re import compile as pattern
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CEILING, CORRUPT, ENCRYPTED, NOT_A_COUNTER, OK, TOO_LARGE
from ..keyspace import Fields, Keyspace, text
from .include import applied, bound_of, emit_update, measure, open_, parse_int, remember

_LARGEST = 9007199254740991
_POWERS = tuple(10**digits for digits in range(18))
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Add to a metadata value that is a whole number, up to a ceiling."""
    key = keys[0]
    field, amount, ceiling, limit, operation, window = argv[:6]
    opened = open_(space, key, b"v", field)
    if isinstance(opened, list):
        return opened
    *_, version_field, stored, _ = opened
    version = parse_int(version_field)
    if version is None:
        return [CORRUPT]
    digits = b"0" if stored is None else text(stored)
    if not _DIGITS(digits) or len(digits) > 17 or abs(int(digits)) > _LARGEST:
        return [ENCRYPTED if digits[:1] == b"E" else NOT_A_COUNTER]
    value = int(digits)
    if operation != b"" and applied(space, keys[1], operation):
        return [OK, value]
    total = value + amount
    if ceiling != b"" and amount > 0 and total > ceiling:
        return [CEILING, value]
    if abs(total) > _LARGEST:
        return [NOT_A_COUNTER]
    fields: Fields = {field: total, b"v": version + 1}
    if stored is None or total >= _POWERS[len(digits)] or -total >= _POWERS[len(digits) - 1]:
        bound = bound_of(space.hash(key).get(b"z"))
        size = measure(space, key, bound, limit, (field, b"%d" % total))
        if size > limit:
            return [TOO_LARGE, size]
        fields[b"z"] = int(size)
    if len(keys) > 2:
        emit_update(space, keys, argv[6:], version + 1, opened[1])
    space.hset(key, fields)
    if operation != b"":
        remember(space, keys[1], operation, window)
        space.pexpireat(keys[1], space.now + window)
    return [OK, total]
