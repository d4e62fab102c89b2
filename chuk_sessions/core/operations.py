"""The operations: one entry for each script, a function that builds its call, and the one table of statuses to errors.

Nothing here does I/O. A new operation is an entry here, `lua/X.lua`, `backends/memory/twins/X.py` and
`tests/contract/test_X.py`, all of the same name.
"""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from typing import Final

from .. import exceptions as errors
from . import statuses as s
from .keys import IndexKeys, SessionKeys, session_keys_for_entry
from .operation import Arg, Call, Operation, Reply

ONCE_WINDOW_MS: Final = 600_000
"""How long a session remembers a caller's idempotency keys."""

MAX_SESSION_BYTES: Final = 4_194_304
"""Default limit of a session's size: names and values of its metadata."""

EXTEND_WINDOW_MS: Final = 120_000
"""How long it remembers the ids of extensions: longer than a call is repeated."""

LATEST_MS: Final = 253_402_300_799_999
"""The latest deadline there may be, in ms: the last of the year 9999, where ISO 8601 dates of four digits end."""

SWEEP_LIMIT: Final = 500
"""Ended sessions that one sweep call names for the next."""

MOST_LEAVING: Final = 32
"""Sessions of a user that give way in one call, where there are many more than the cap. The script has it, too."""

PAGE_LIMIT: Final = 500
"""Most entries of an index that one call reads, so that no call holds up the server."""

Cursor = tuple[bytes, ...]
"""Where a page of an index ended: score and member of its last entry, as the reply has them; empty before the first."""

START: Final[Cursor] = ()
"""Before the first entry."""

_FEW: Final = 1000
"""Fields and values that fit on Lua's stack with room to spare."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_HERE: Final = frozenset({s.GONE, s.MOVED, s.CORRUPT})


def _operation(name: str, keys: str, args: str, *statuses: int, **traits: object) -> Operation:
    return Operation(name, tuple(keys.split()), tuple(args.split()), frozenset(statuses), **traits)  # type: ignore[arg-type]


ALLOCATE = _operation(
    "allocate",
    "session deadlines users sandboxes victims",
    "handle sandbox ttl deadline idle owner user cap retention create victims rest",
    *_HERE, s.CREATED, s.EXISTS, s.FULL, s.OTHER_OWNER,
    repeatable=True,
    durable=True,
)  # fmt: skip
VALIDATE = _operation(
    "validate", "session deadlines", "interval handle retention", *_HERE, s.OK, s.NEEDS_INDEX, repeatable=True
)
READ = _operation("read", "session operations", "", *_HERE, s.OK, read_only=True, repeatable=True, large_reply=True)
SET = _operation("set", "session", "limit field value rest", *_HERE, s.OK, s.TOO_LARGE)
MERGE = _operation(
    "merge",
    "session operations",
    "version replace operation window limit removals rest",
    *_HERE, s.OK, s.CONFLICT, s.TOO_LARGE,
    once_arg="operation",
)  # fmt: skip
INCREMENT = _operation(
    "increment",
    "session operations",
    "field amount ceiling limit operation window",
    *_HERE, s.OK, s.CEILING, s.NOT_A_COUNTER, s.TOO_LARGE,
    once_arg="operation",
)  # fmt: skip
EXTEND = _operation(
    "extend",
    "session deadlines operations",
    "handle additional latest operation window retention",
    *_HERE, s.OK, s.TOO_FAR,
    once_arg="operation",
)  # fmt: skip
DELETE = _operation(
    "delete",
    "session deadlines users operations",
    "handle owner version pointer created successor grace",
    *_HERE, s.OK, s.EXISTS, s.OTHER_OWNER, s.CONFLICT,
    repeatable=True,
    unless_arg="version",
    durable=True,
    after_repeat={s.GONE: s.OK},
)  # fmt: skip
ROTATE = _operation(
    "rotate",
    "old new deadlines users old_operations new_operations",
    "old new grace",
    *_HERE, s.OK,
    repeatable=True,
    durable=True,
)  # fmt: skip
CARRY = _operation("carry", "session operations", "rest", *_HERE, s.OK, repeatable=True)
LIST = _operation("list", "deadlines users", "user limit score after", s.OK, read_only=True, repeatable=True)
COUNT = _operation("count", "deadlines users", "user limit score after", s.OK, read_only=True, repeatable=True)
SWEEP = _operation("sweep", "deadlines users sandboxes ended", "sandbox limit rest", s.OK, repeatable=True)
DUE = _operation("due", "sandboxes", "limit score after", s.OK, read_only=True, repeatable=True)

ALL: Final = {
    entry.name: entry
    for entry in (
        ALLOCATE,
        VALIDATE,
        READ,
        SET,
        MERGE,
        INCREMENT,
        EXTEND,
        DELETE,
        ROTATE,
        CARRY,
        LIST,
        COUNT,
        SWEEP,
        DUE,
    )
}


# A named tuple's own way of making one takes three times as long; this is for what is called all the time.
_call = tuple.__new__


def allocate(
    target: SessionKeys,
    sandbox_id: str,
    *,
    ttl_ms: int,
    deadline_ms: int = 0,
    idle_ms: int,
    owner: bytes,
    user: int,
    cap: int,
    retention_ms: int,
    create: bool,
    victims: Sequence[SessionKeys] = (),
    pairs: Sequence[bytes] = (),
    reused: bool = False,
) -> Call:
    """Make the session, or touch the one that is there. `pairs` are metadata as it is stored; `victims` give way.
    `reused`: the id may have been in use before, so that operation ids of a dead session are cleared.
    """
    keys: tuple[str, ...] = (target.record, *_index(target.index_keys))
    leaving: tuple[bytes, ...] = ()
    if victims:
        keys += _records(victims)
        leaving = tuple([victim.handle for victim in victims])
    if reused:
        keys += (target.operations,)
    argv: tuple[Arg, ...] = (
        target.handle, sandbox_id.encode(), ttl_ms, deadline_ms, idle_ms, owner, user, cap, retention_ms, int(create),
        len(victims), *leaving, b"z", sum(map(len, pairs)), *pairs,
    )  # fmt: skip
    return Call(ALLOCATE, keys, argv)


def retarget(call: Call, target: SessionKeys) -> Call:
    """Return the same call on another session."""
    names, argv = call.operation.args, list(call.argv)
    if "handle" in names[: len(argv)]:
        argv[names.index("handle")] = target.handle
    renamed = {"session": target.record, "operations": target.operations, **target.index_keys._asdict()}
    keys = [renamed.get(name, key) for name, key in zip(call.operation.keys, call.keys, strict=False)]
    return Call(call.operation, (*keys, *call.keys[len(keys) :]), tuple(argv))


def validate(target: SessionKeys, interval_ms: int, retention_ms: int, index: bool) -> Call:
    """Is it alive? `index` declares the index, which the reply NEEDS_INDEX asks for."""
    if not index:
        return _call(Call, (VALIDATE, (target.record,), (interval_ms,) if interval_ms else ()))
    return Call(VALIDATE, (target.record, target.index_keys.deadlines), (interval_ms, target.handle, retention_ms))


def read(target: SessionKeys, *, operation_ids: bool = False) -> Call:
    """The whole record, and the operation ids that count where they are asked for."""
    if operation_ids:
        return Call(READ, (target.record, target.operations), ())
    return _call(Call, (READ, (target.record,), ()))


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
    """Set `pairs`, remove `removals`; `replace` leaves nothing else."""
    if not (removals or replace or operation_id) and version is None and 0 < len(pairs) <= _FEW:
        return _call(Call, (SET, (target.record,), (limit, *pairs)))
    expected: Arg = b"" if version is None else version
    argv = (expected, int(replace), operation_id, ONCE_WINDOW_MS, limit, len(removals), *removals, *pairs)
    return Call(MERGE, _once(target, operation_id), argv)


def increment(
    target: SessionKeys,
    *,
    field: bytes,
    amount: int,
    ceiling: int | None,
    operation_id: bytes,
    limit: int = MAX_SESSION_BYTES,
) -> Call:
    """Add to a counter."""
    highest: Arg = b"" if ceiling is None else ceiling
    argv = (field, amount, highest, limit, operation_id, ONCE_WINDOW_MS)
    return Call(INCREMENT, _once(target, operation_id), argv)


def _once(target: SessionKeys, operation_id: bytes) -> tuple[str, ...]:
    """The keys of a change: with the operation ids only where there is one, so that others have a single key."""
    return (target.record, target.operations) if operation_id else (target.record,)


def extend(target: SessionKeys, *, additional_ms: int, operation_id: bytes, retention_ms: int) -> Call:
    """Move the deadline further away."""
    argv = (target.handle, additional_ms, LATEST_MS, operation_id, EXTEND_WINDOW_MS, retention_ms)
    return Call(EXTEND, (target.record, target.index_keys.deadlines, target.operations), argv)


def delete(
    target: SessionKeys,
    *,
    owner: bytes = b"",
    version: int | None = None,
    pointer: bytes = b"",
    created: Arg = b"",
    successor: bytes = b"",
    grace_ms: int = 0,
) -> Call:
    """End a session: anybody's or the owner's, at any or at one version, whenever created or at one time (ms).
    `pointer`: nothing but an old id's pointer to that. `successor`: leave such a pointer for the grace period.
    """
    expected: Arg = b"" if version is None else version
    keys = (target.record, target.index_keys.deadlines, target.index_keys.users, target.operations)
    return Call(DELETE, keys, (target.handle, owner, expected, pointer, created, successor, grace_ms))


def rotate(old: SessionKeys, new: SessionKeys, *, grace_ms: int) -> Call:
    """A new id in the same bucket."""
    keys = (old.record, new.record, old.index_keys.deadlines, old.index_keys.users, old.operations, new.operations)
    return Call(ROTATE, keys, (old.handle, new.handle, grace_ms))


def carry(target: SessionKeys, operation_ids: Sequence[bytes]) -> Call:
    """Carry operation ids over to the copy of a session, from the reply of a read: id, until, id, until..."""
    argv = [part for pair in zip(operation_ids[1::2], operation_ids[::2], strict=True) for part in pair]
    return Call(CARRY, (target.record, target.operations), argv)


def list_(index: IndexKeys, *, user: int | None, limit: int, after: Cursor = START) -> Call:
    """Read a page of handles of live sessions in one bucket."""
    return Call(LIST, (index.deadlines, index.users), (b"" if user is None else user, limit, *after))


def count(index: IndexKeys, *, user: int | None, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Count the live sessions of one bucket, or a page of those of a user."""
    argv: tuple[Arg, ...] = (b"",) if user is None else (user, limit, *after)
    return Call(COUNT, (index.deadlines, index.users), argv)


def cursor(reply: Reply) -> Cursor | None:
    """Return where the page of this reply ended, or None when it was the last."""
    return tuple(reply[2:]) or None


def sweep(index: IndexKeys, sandbox_id: str, ended: Sequence[bytes] = ()) -> Call:
    """Remove ended sessions of one bucket, and ask for up to SWEEP_LIMIT more. `ended`: handles from a reply."""
    targets = [session_keys_for_entry(index, handle) for handle in ended]
    return Call(SWEEP, (*_index(index), *_records(targets)), (sandbox_id.encode(), SWEEP_LIMIT, *ended))


def due(sandboxes: str, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Read a page of the sandboxes that have something to sweep in one bucket."""
    return Call(DUE, (sandboxes,), (limit, *after))


def _records(targets: Sequence[SessionKeys]) -> tuple[str, ...]:
    """Return the keys of whole sessions that may be deleted: of each, its record and its operation ids."""
    return tuple([key for target in targets for key in (target.record, target.operations)])


def _index(index: IndexKeys) -> tuple[str, str, str]:
    return index.deadlines, index.users, index.sandboxes


def operation_id(given: str | None = None, *, kind: str = "") -> bytes:
    """11 characters that name one application of an operation: fresh ones, or those of a caller's idempotency key."""
    if given is None:
        return _operation_id(secrets.token_bytes(8))
    if not isinstance(given, str) or not given:
        raise ValueError("an idempotency key must be a string that is not empty")
    text = f"{kind}/{given}".encode("utf-8", "surrogatepass")
    return _operation_id(hashlib.blake2b(text, digest_size=8).digest())


def _operation_id(bits: bytes) -> bytes:
    return b2a_base64(bits, newline=False).translate(_URL_SAFE)[:11]


_ERRORS: Final[dict[int, Callable[[Reply], Exception]]] = {
    s.OTHER_OWNER: lambda _: errors.SessionOwnerError("the session belongs to another user"),
    s.CONFLICT: lambda reply: errors.VersionConflictError(
        f"the session was changed: its version is {reply[1]} now", reply[1]
    ),
    s.NOT_A_COUNTER: lambda _: errors.NotACounterError(
        "the value is not a whole number within ±(2^53 - 1), or would leave that range"
    ),
    s.TOO_LARGE: lambda reply: errors.SessionTooLargeError(
        f"the session would have {reply[1]} bytes of metadata, more than the manager's max_session_bytes"
    ),
    s.TOO_FAR: lambda _: ValueError("the deadline would lie beyond the year 9999"),
    s.CORRUPT: lambda _: errors.CorruptRecordError("a stored session lacks a field or holds nonsense in it"),
}


def check(operation: Operation, reply: Reply) -> int:
    """The status of a reply. Raises the error that stands for it, where one does; statuses that the operation does not
    have are a ProviderError.
    """
    status: int = reply[0]
    if status in _ERRORS:
        raise _ERRORS[status](reply)
    if status not in operation.statuses:
        raise errors.ProviderError(f"{operation.name} gave status {status!r}, which it does not have")
    return status
