"""Twin of `lua/increment.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from re import compile as pattern
from typing import Any

from ....statuses import CEILING, CORRUPT, NOT_A_COUNTER, OK
from ...base import Reply
from ..keyspace import Keyspace, text
from .include import applied, forget, open_, plain

_LARGEST = 9007199254740991
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Add to a metadata value that is a whole number, up to a ceiling."""
    key = keys[0]
    field, amount, ceiling, operation, window = argv
    opened = open_(space, key, b"v", field, b"o:" + operation)
    if isinstance(opened, list):
        return opened
    *_, version_text, stored, till = opened
    version = plain(version_text)
    if version is None:
        return [CORRUPT]
    digits = b"0" if stored is None else text(stored)
    if not _DIGITS(digits) or len(digits) > 17 or abs(int(digits)) > _LARGEST:
        return [NOT_A_COUNTER]
    value = int(digits)
    if applied(space, till):
        return [OK, value]
    total = value + amount
    if ceiling != b"" and amount > 0 and total > ceiling:
        return [CEILING, value]
    if abs(total) > _LARGEST:
        return [NOT_A_COUNTER]
    if operation == b"":
        space.hset(key, {field: total, b"v": version + 1})
    else:
        space.hset(key, {field: total, b"v": version + 1, b"o:" + operation: space.now + window})
        forget(space, key, operation)
    return [OK, total]
