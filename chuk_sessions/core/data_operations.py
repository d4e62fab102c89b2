"""The operations that change a session's data: an entry for each script, and a function that builds its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import statuses as s
from .durations import LATEST_MS
from .keys import SessionKeys
from .operation import Arg, Call, Operation, names, new_call
from .operation_ids import ONCE_WINDOW_MS

MAX_SESSION_BYTES: Final = 4_194_304
"""Default limit of a session's metadata, names and values together."""

_MAX_SET_ARGS: Final = 1000
"""Most fields and values that SET takes: they fit on Lua's stack with room to spare."""

SET = Operation(
    "set", names("session"), names("limit field value rest"), s.ONE_SESSION | {s.OK, s.OTHER_SALT, s.TOO_LARGE}
)
MERGE = Operation(
    "merge",
    names("session operations deadlines sandboxes events"),
    names("version replace operation window limit ttl latest handle retention sandbox updates removals expected rest"),
    s.ONE_SESSION | {s.OK, s.APPLIED, s.CONFLICT, s.MISMATCH, s.OTHER_SALT, s.TOO_FAR, s.TOO_LARGE},
    operation_id_arg="operation",
)
INCREMENT = Operation(
    "increment",
    names("session operations events"),
    names("field amount ceiling limit operation window handle sandbox"),
    s.ONE_SESSION | {s.OK, s.CEILING, s.NOT_A_COUNTER, s.ENCRYPTED, s.TOO_LARGE},
    operation_id_arg="operation",
)
APPEND = Operation(
    "append",
    names("session operations events"),
    names("field items most limit operation window handle sandbox"),
    s.ONE_SESSION | {s.OK, s.NOT_A_LIST, s.ENCRYPTED, s.LIST_FULL, s.TOO_LARGE},
    operation_id_arg="operation",
)
REWRITE = Operation(
    "rewrite",
    names("session users"),
    names("handle created version user removals rest"),
    s.ONE_SESSION | {s.OK, s.CONFLICT, s.OTHER_SALT},
    retryable=True,
)


def merge(
    target: SessionKeys,
    *,
    pairs: Sequence[bytes],
    removals: Sequence[bytes] = (),
    replace: bool = False,
    version: int | None = None,
    expected: Sequence[bytes] = (),
    operation_id: bytes = b"",
    window_ms: int = ONCE_WINDOW_MS,
    ttl_ms: int | None = None,
    retention_ms: int = 0,
    limit: int = MAX_SESSION_BYTES,
    updates: bool = False,
) -> Call:
    """Set the fields in `pairs` and remove those in `removals`. `replace` removes all other metadata, too.

    If the first pair is the salt, the record must have the same one, or none yet.

    `expected` has fields and the values that they must have, exactly as stored; an empty one means that the field must
    not exist. `ttl_ms` moves the deadline: it is then this long from now. With `updates`, the change is an event of a
    session that emits events.
    """
    compares = expected or version is not None
    if not (removals or replace or operation_id or compares or ttl_ms or updates) and 0 < len(pairs) <= _MAX_SET_ARGS:
        return new_call(Call, (SET, (target.record,), (limit, *pairs)))
    index = target.index_keys
    argv: tuple[Arg, ...] = (
        b"" if version is None else version, int(replace), operation_id, window_ms, limit,
        b"" if ttl_ms is None else ttl_ms, LATEST_MS, target.handle, retention_ms, index.sandbox,
        int(updates), len(removals), len(expected) // 2, *removals, *expected, *pairs,
    )  # fmt: skip
    if ttl_ms is None and not updates:
        return Call(MERGE, (target.record, target.operations) if operation_id else (target.record,), argv)
    return Call(MERGE, (target.record, target.operations, index.deadlines, index.sandboxes, index.events), argv)


def increment(
    target: SessionKeys,
    *,
    field: bytes,
    amount: int,
    ceiling: int | None,
    operation_id: bytes,
    limit: int = MAX_SESSION_BYTES,
    updates: bool = False,
) -> Call:
    """Add to a counter, unless its value would then be above `ceiling`. `updates` is that of `merge`."""
    highest: Arg = b"" if ceiling is None else ceiling
    argv = (field, amount, highest, limit, operation_id, ONCE_WINDOW_MS)
    return _change(INCREMENT, target, argv, operation_id, updates)


def append(
    target: SessionKeys,
    *,
    field: bytes,
    items: bytes,
    most: int | None = None,
    operation_id: bytes = b"",
    limit: int = MAX_SESSION_BYTES,
    updates: bool = False,
) -> Call:
    """Append to a list. `items` are JSON texts, separated by commas. The list may then have `most` bytes.

    `updates` is that of `merge`.
    """
    argv = (field, items, b"" if most is None else most, limit, operation_id, ONCE_WINDOW_MS)
    return _change(APPEND, target, argv, operation_id, updates)


def rewrite(
    target: SessionKeys,
    *,
    created: bytes,
    version: bytes,
    pairs: Sequence[bytes],
    removals: Sequence[bytes] = (),
    user: int | None = None,
) -> Call:
    """Write owner and metadata in another encoding if the session was created at that time (ms) and has that version.

    `pairs` begins with the salt if the values have one. `user` is the hash of the owner for the index; None leaves it.
    """
    argv: tuple[Arg, ...] = (
        target.handle, created, version, b"" if user is None else user, len(removals), *removals, *pairs,
    )  # fmt: skip
    return Call(REWRITE, (target.record, target.index_keys.users), argv)


def _change(
    operation: Operation, target: SessionKeys, argv: tuple[Arg, ...], operation_id: bytes, updates: bool
) -> Call:
    """Return the call of a change. Without an operation id to remember and an event, the record is its only key."""
    if updates:
        index = target.index_keys
        return Call(operation, (target.record, target.operations, index.events), (*argv, target.handle, index.sandbox))
    return Call(operation, (target.record, target.operations) if operation_id else (target.record,), argv)
