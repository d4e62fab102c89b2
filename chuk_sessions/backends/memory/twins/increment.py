"""Twin of `lua/increment.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from re import compile as pattern

from ....statuses import CEILING, CORRUPT, NOT_A_COUNTER, OK
from ...base import Arg, Reply
from ..keyspace import Keyspace, text
from .include import Record, applied, forget, open_, plain, raw, whole

_LARGEST = 9007199254740991
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Add to a metadata value that is a whole number, up to a ceiling."""
    key, field, operation = keys[0], raw(argv[0]), raw(argv[3])
    record = open_(space, key, b"v", field, b"o:" + operation)
    if not isinstance(record, Record):
        return record
    version, stored = plain(record.more[0]), record.more[1]
    if version is None:
        return [CORRUPT]
    digits = b"0" if stored is None else stored
    if not _DIGITS(digits) or len(digits) > 17 or abs(int(digits)) > _LARGEST:
        return [NOT_A_COUNTER]
    value = int(digits)
    if applied(space, record.more[2]):
        return [OK, value]
    amount = whole(argv[1])
    total = value + amount
    if argv[2] != b"" and amount > 0 and total > whole(argv[2]):
        return [CEILING, value]
    if abs(total) > _LARGEST:
        return [NOT_A_COUNTER]
    if operation == b"":
        space.hset(key, (field, text(total), b"v", text(version + 1)))
    else:
        space.hset(
            key, (field, text(total), b"v", text(version + 1), b"o:" + operation, text(space.now + whole(argv[4])))
        )
        forget(space, key, version)
    return [OK, total]
