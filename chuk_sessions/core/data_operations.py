"""The operations that change a session's data: an entry for each script, and a function that builds its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import statuses as s
from .keys import SessionKeys
from .operation import Arg, Call, Operation, names, new_call
from .operation_ids import ONCE_WINDOW_MS

MAX_SESSION_BYTES: Final = 4_194_304
"""Default limit of a session's metadata, names and values together."""

_MAX_SET_ARGS: Final = 1000
"""Most fields and values that SET takes: they fit on Lua's stack with room to spare."""

SET = Operation("set", names("session"), names("limit field value rest"), s.ONE_SESSION | {s.OK, s.TOO_LARGE})
MERGE = Operation(
    "merge",
    names("session operations"),
    names("version replace operation window limit removals rest"),
    s.ONE_SESSION | {s.OK, s.CONFLICT, s.TOO_LARGE},
    operation_id_arg="operation",
)
INCREMENT = Operation(
    "increment",
    names("session operations"),
    names("field amount ceiling limit operation window"),
    s.ONE_SESSION | {s.OK, s.CEILING, s.NOT_A_COUNTER, s.TOO_LARGE},
    operation_id_arg="operation",
)


def merge(
    target: SessionKeys,
    *,
    pairs: Sequence[bytes],
    removals: Sequence[bytes] = (),
    replace: bool = False,
    version: int | None = None,
    operation_id: bytes = b"",
    limit: int = MAX_SESSION_BYTES,
) -> Call:
    """Set the fields in `pairs` and remove those in `removals`. `replace` removes all other metadata, too."""
    if not (removals or replace or operation_id) and version is None and 0 < len(pairs) <= _MAX_SET_ARGS:
        return new_call(Call, (SET, (target.record,), (limit, *pairs)))
    expected: Arg = b"" if version is None else version
    argv = (expected, int(replace), operation_id, ONCE_WINDOW_MS, limit, len(removals), *removals, *pairs)
    return Call(MERGE, _changed_keys(target, operation_id), argv)


def increment(
    target: SessionKeys,
    *,
    field: bytes,
    amount: int,
    ceiling: int | None,
    operation_id: bytes,
    limit: int = MAX_SESSION_BYTES,
) -> Call:
    """Add to a counter, unless its value would then be above `ceiling`."""
    highest: Arg = b"" if ceiling is None else ceiling
    argv = (field, amount, highest, limit, operation_id, ONCE_WINDOW_MS)
    return Call(INCREMENT, _changed_keys(target, operation_id), argv)


def _changed_keys(target: SessionKeys, operation_id: bytes) -> tuple[str, ...]:
    """Return the keys of a change. Without an operation id to remember, the record is the only one."""
    return (target.record, target.operations) if operation_id else (target.record,)
