"""The operations: an entry for each script, and a function that builds its calls.

Nothing here does I/O. docs/architecture.md has the recipe for a new operation.
"""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Final

from . import statuses as s
from .keys import IndexKeys, SessionKeys, session_keys_for_entry
from .operation import Arg, Call, Operation, Reply

ONCE_WINDOW_MS: Final = 600_000
"""How long a session remembers the idempotency keys that callers pass."""

MAX_SESSION_BYTES: Final = 4_194_304
"""Default limit of a session's metadata, names and values together."""

EXTEND_WINDOW_MS: Final = 120_000
"""How long a session remembers the ids of extensions: longer than a call is retried."""

LATEST_MS: Final = 253_402_300_799_999
"""The latest deadline allowed, in ms: the last of the year 9999, where ISO 8601 dates with four digits end."""

SWEEP_LIMIT: Final = 500
"""Most expired sessions that the reply of a sweep lists for the next sweep to remove."""

MOST_LEAVING: Final = 32
"""Most sessions of a user that one call evicts when the user has many more than the cap. The script has the same limit.
"""

PAGE_LIMIT: Final = 500
"""Most entries of an index that one call reads, so that no call holds up the server."""

Cursor = tuple[bytes, ...]
"""The end of a page of an index: score and member of its last entry, as in the reply. Empty before the first page."""

START: Final[Cursor] = ()
"""The cursor before the first entry."""

_MAX_SET_ARGS: Final = 1000
"""Most fields and values that SET takes: they fit on Lua's stack with room to spare."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

_OK: Final = frozenset({s.OK})
_SESSION: Final = frozenset({s.GONE, s.MOVED, s.CORRUPT})
"""Statuses that every operation on one session may reply with."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ALLOCATE = Operation(
    "allocate",
    _names("session deadlines users sandboxes victims"),
    _names("handle sandbox ttl deadline idle owner user cap retention create victims rest"),
    _SESSION | {s.CREATED, s.EXISTS, s.FULL, s.OTHER_OWNER},
    retryable=True,
    needs_index_arg="cap",
    durable=True,
)
VALIDATE = Operation(
    "validate",
    _names("session deadlines"),
    _names("interval handle retention"),
    _SESSION | {s.OK, s.NEEDS_INDEX},
    retryable=True,
)
READ = Operation(
    "read", _names("session operations"), (), _SESSION | {s.OK}, read_only=True, retryable=True, large_reply=True
)
SET = Operation("set", _names("session"), _names("limit field value rest"), _SESSION | {s.OK, s.TOO_LARGE})
MERGE = Operation(
    "merge",
    _names("session operations"),
    _names("version replace operation window limit removals rest"),
    _SESSION | {s.OK, s.CONFLICT, s.TOO_LARGE},
    operation_id_arg="operation",
)
INCREMENT = Operation(
    "increment",
    _names("session operations"),
    _names("field amount ceiling limit operation window"),
    _SESSION | {s.OK, s.CEILING, s.NOT_A_COUNTER, s.TOO_LARGE},
    operation_id_arg="operation",
)
EXTEND = Operation(
    "extend",
    _names("session deadlines operations"),
    _names("handle additional latest operation window retention"),
    _SESSION | {s.OK, s.TOO_FAR},
    operation_id_arg="operation",
)
DELETE = Operation(
    "delete",
    _names("session deadlines users operations"),
    _names("handle owner version pointer created successor grace"),
    _SESSION | {s.OK, s.EXISTS, s.OTHER_OWNER, s.CONFLICT},
    retryable=True,
    not_retryable_arg="version",
    durable=True,
    status_after_retry={s.GONE: s.OK},
)
ROTATE = Operation(
    "rotate",
    _names("old new deadlines users old_operations new_operations"),
    _names("old new grace created"),
    _SESSION | {s.OK},
    retryable=True,
    durable=True,
)
CARRY = Operation("carry", _names("session operations"), _names("rest"), _SESSION | {s.OK}, retryable=True)
LIST = Operation(
    "list",
    _names("deadlines users"),
    _names("user limit score after"),
    _OK,
    read_only=True,
    retryable=True,
    needs_index=True,
)
COUNT = Operation(
    "count",
    _names("deadlines users"),
    _names("user limit score after"),
    _OK,
    read_only=True,
    retryable=True,
    needs_index=True,
)
SWEEP = Operation("sweep", _names("deadlines users sandboxes ended"), _names("sandbox limit rest"), _OK, retryable=True)
DUE = Operation(
    "due", _names("sandboxes"), _names("limit score after"), _OK, read_only=True, retryable=True, needs_index=True
)

ALL: Final = {
    entry.name: entry
    for entry in (
        ALLOCATE, VALIDATE, READ, SET, MERGE, INCREMENT, EXTEND, DELETE, ROTATE, CARRY, LIST, COUNT, SWEEP, DUE,
    )
}  # fmt: skip
"""Every operation under its name."""


# The constructor of a named tuple takes three times as long. Builders of frequent calls use this instead.
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
    """Create the session, or touch the existing one.

    `pairs` are metadata as stored, and `victims` are sessions to evict. `user` is the hash of the user id. With
    `reused` the id may have belonged to an earlier session, so operation ids of that session are cleared.
    """
    index = target.index_keys
    keys: tuple[str, ...] = (target.record, index.deadlines, index.users, index.sandboxes)
    evicted: tuple[bytes, ...] = ()
    if victims:
        keys += _session_keys(victims)
        evicted = tuple([victim.handle for victim in victims])
    if reused:
        keys += (target.operations,)
    argv: tuple[Arg, ...] = (
        target.handle, sandbox_id.encode(), ttl_ms, deadline_ms, idle_ms, owner, user, cap, retention_ms, int(create),
        len(victims), *evicted, b"z", sum(map(len, pairs)), *pairs,
    )  # fmt: skip
    return Call(ALLOCATE, keys, argv)


def retarget(call: Call, target: SessionKeys) -> Call:
    """Return the call with its keys and handle replaced by those of another session."""
    names, argv = call.operation.args, list(call.argv)
    if "handle" in names[: len(argv)]:
        argv[names.index("handle")] = target.handle
    renamed = {"session": target.record, "operations": target.operations, **target.index_keys._asdict()}
    keys = [renamed.get(name, key) for name, key in zip(call.operation.keys, call.keys, strict=False)]
    return Call(call.operation, (*keys, *call.keys[len(keys) :]), tuple(argv))


def validate(target: SessionKeys, interval_ms: int, retention_ms: int, index: bool) -> Call:
    """Ask whether the session is alive, and touch it. `index` declares the index, as the reply NEEDS_INDEX demands."""
    if not index:
        return _call(Call, (VALIDATE, (target.record,), (interval_ms,) if interval_ms else ()))
    return Call(VALIDATE, (target.record, target.index_keys.deadlines), (interval_ms, target.handle, retention_ms))


def read(target: SessionKeys, *, operation_ids: bool = False) -> Call:
    """Read the whole record and, on request, the operation ids that the session still remembers."""
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
    """Set the fields in `pairs` and remove those in `removals`. `replace` removes all other metadata, too."""
    if not (removals or replace or operation_id) and version is None and 0 < len(pairs) <= _MAX_SET_ARGS:
        return _call(Call, (SET, (target.record,), (limit, *pairs)))
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


def extend(target: SessionKeys, *, additional_ms: int, operation_id: bytes, retention_ms: int) -> Call:
    """Move the deadline into the future by `additional_ms`."""
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
    """Delete a session if it matches every condition given: its owner, its version, its time of creation (ms).

    `pointer` deletes only the old id's pointer with this value, not a session. `successor` leaves a pointer of this
    value under the deleted id for the grace period.
    """
    expected: Arg = b"" if version is None else version
    keys = (target.record, target.index_keys.deadlines, target.index_keys.users, target.operations)
    return Call(DELETE, keys, (target.handle, owner, expected, pointer, created, successor, grace_ms))


def rotate(old: SessionKeys, new: SessionKeys, *, grace_ms: int, created: Arg = b"") -> Call:
    """Give the session a new id in the same bucket, if it was created at the time given (ms).

    The old id points to it for the grace period.
    """
    keys = (old.record, new.record, old.index_keys.deadlines, old.index_keys.users, old.operations, new.operations)
    return Call(ROTATE, keys, (old.handle, new.handle, grace_ms, created))


def carry(target: SessionKeys, operation_ids: Sequence[bytes]) -> Call:
    """Copy operation ids to the copy of a session. They come from the reply of a read: id, until, id, until..."""
    argv = [part for pair in zip(operation_ids[1::2], operation_ids[::2], strict=True) for part in pair]
    return Call(CARRY, (target.record, target.operations), argv)


def list_(index: IndexKeys, *, user: int | None, limit: int, after: Cursor = START) -> Call:
    """Read a page of the handles of live sessions in one bucket, of all users or of the one with this hash."""
    return Call(LIST, (index.deadlines, index.users), (b"" if user is None else user, limit, *after))


def count(index: IndexKeys, *, user: int | None, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Count the live sessions of one bucket, or one page of those of the user with this hash."""
    argv: tuple[Arg, ...] = (b"",) if user is None else (user, limit, *after)
    return Call(COUNT, (index.deadlines, index.users), argv)


def cursor(reply: Reply) -> Cursor | None:
    """Return the cursor after the page in this reply, or None when it was the last page."""
    return tuple(reply[2:]) or None


def sweep(index: IndexKeys, sandbox_id: str, ended: Sequence[bytes] = ()) -> Call:
    """Remove expired sessions of one bucket, and list up to SWEEP_LIMIT more.

    `ended` are handles from the reply of an earlier sweep.
    """
    targets = [session_keys_for_entry(index, handle) for handle in ended]
    keys = (index.deadlines, index.users, index.sandboxes, *_session_keys(targets))
    return Call(SWEEP, keys, (sandbox_id.encode(), SWEEP_LIMIT, *ended))


def due(sandboxes: str, limit: int = PAGE_LIMIT, after: Cursor = START) -> Call:
    """Read a page of the sandboxes that have expired sessions in one bucket."""
    return Call(DUE, (sandboxes,), (limit, *after))


def _session_keys(targets: Sequence[SessionKeys]) -> tuple[str, ...]:
    """Return all keys of sessions that may be deleted: the record and the operation ids of each."""
    return tuple([key for target in targets for key in (target.record, target.operations)])


def operation_id(given: str | None = None, *, kind: str = "") -> bytes:
    """Return 11 characters that name one application of an operation: random, or derived from an idempotency key.

    Raises ValueError for a key that is not text or is empty.
    """
    if given is None:
        return _operation_id(secrets.token_bytes(8))
    if not isinstance(given, str) or not given:
        raise ValueError("an idempotency key must be a string that is not empty")
    text = f"{kind}/{given}".encode("utf-8", "surrogatepass")
    return _operation_id(hashlib.blake2b(text, digest_size=8).digest())


def _operation_id(bits: bytes) -> bytes:
    return b2a_base64(bits, newline=False).translate(_URL_SAFE)[:11]
