"""The operations that create, check, read, move, and delete a session, and the table of all operations.

Nothing here does I/O. docs/architecture.md has the recipe for a new operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from . import event_entries, modes, owners
from . import statuses as s
from .adoption import ADOPT
from .data_operations import APPEND, INCREMENT, MERGE, REWRITE, SET
from .durations import LATEST_MS
from .grants import CHECK_GRANT, GRANT, GRANTS, REVOKE_GRANT
from .index_operations import COUNT, DUE, FIND, LIST, READ_EVENTS, SWEEP
from .keys import SessionKeys, session_keys_to_delete
from .note_operations import FORGET, NOTE, NOTES
from .operation import Arg, Call, Operation, names, new_call
from .operation_ids import EXTEND_WINDOW_MS
from .queue_operations import CONFIGURE, ENDPOINTS, ENQUEUE, LETTERS, RESEND, SETTLE, TAKE
from .rate_limits import RATE_LIMIT
from .reader_operations import CLAIM, COMMIT, JOIN, PROGRESS, RETIRE, TRIM
from .single_use import USE_ONCE

MOST_LEAVING: Final = 32
"""Most sessions of a user that one call evicts when the user has many more than the cap. The script has the same limit.
"""

ALLOCATE = Operation(
    "allocate",
    names("session deadlines users sandboxes events victims"),
    names(
        "handle sandbox lifetime idle user cap retention events options create mode operation window start other_owner "
        "other_user victims rest"
    ),
    s.ONE_SESSION | {s.CREATED, s.EXISTS, s.FULL, s.OTHER_OWNER, s.OTHER_ENCODING},
    retryable=True,
    needs_index_arg="cap",
    durable=True,
)
VALIDATE = Operation(
    "validate",
    names("session deadlines"),
    names("interval handle retention"),
    s.ONE_SESSION | {s.OK, s.NEEDS_INDEX},
    retryable=True,
)
READ = Operation(
    "read", names("session operations"), (), s.ONE_SESSION | {s.OK}, read_only=True, retryable=True, large_reply=True
)
FETCH = Operation(
    "fetch",
    names("session"),
    (),
    s.DONE | {s.CORRUPT},
    read_only=True,
    retryable=True,
    large_reply=True,
    command="HGETALL",
)
LOAD = Operation(
    "load",
    names("session deadlines"),
    names("interval handle retention"),
    s.ONE_SESSION | {s.OK, s.NEEDS_INDEX},
    retryable=True,
    large_reply=True,
)
SET_TTL = Operation(
    "set_ttl",
    names("session deadlines sandboxes events"),
    names("handle sandbox ttl latest retention events"),
    s.ONE_SESSION | {s.OK},
    retryable=True,
)
EXTEND = Operation(
    "extend",
    names("session deadlines operations events"),
    names("handle additional latest operation window retention sandbox events"),
    s.ONE_SESSION | {s.OK, s.TOO_FAR},
    operation_id_arg="operation",
)
DELETE = Operation(
    "delete",
    names("session deadlines users operations events"),
    names("handle sandbox letter owner version pointer created successor grace grants"),
    s.ONE_SESSION | {s.OK, s.EXISTS, s.OTHER_OWNER, s.OTHER_ENCODING, s.CONFLICT},
    retryable=True,
    not_retryable_arg="version",
    durable=True,
    status_after_retry={s.GONE: s.OK},
)
ROTATE = Operation(
    "rotate",
    names("old new deadlines users old_operations new_operations events sandboxes"),
    names("old new grace created sandbox ttl latest idle retention events rest"),
    s.ONE_SESSION | {s.OK},
    retryable=True,
    durable=True,
)
CARRY = Operation("carry", names("session operations"), names("rest"), s.ONE_SESSION | {s.OK}, retryable=True)
ALL: Final = {
    entry.name: entry
    for entry in (
        ALLOCATE, VALIDATE, READ, LOAD, FETCH, SET, MERGE, INCREMENT, APPEND, REWRITE, RATE_LIMIT, EXTEND, SET_TTL,
        DELETE, ROTATE, CARRY, ADOPT, GRANT, CHECK_GRANT, REVOKE_GRANT, GRANTS, USE_ONCE, LIST, FIND, COUNT, SWEEP, DUE,
        NOTE, NOTES, FORGET, READ_EVENTS, JOIN, CLAIM, COMMIT, TRIM, PROGRESS, RETIRE, ENDPOINTS, CONFIGURE, ENQUEUE,
        TAKE, SETTLE, LETTERS, RESEND,
    )
}  # fmt: skip
"""Every operation under its name."""

SCRIPTED: Final = {name: entry for name, entry in ALL.items() if not entry.command}
"""The operations that are scripts. The others are plain commands."""


def allocate(
    target: SessionKeys,
    sandbox_id: str,
    *,
    ttl_ms: int,
    deadline_ms: int = 0,
    idle_ms: int,
    owner: bytes,
    user: int,
    other_owner: bytes = b"",
    other_user: int = 0,
    cap: int,
    retention_ms: int,
    create: bool,
    mode: bytes = modes.TOUCH,
    operation_id: bytes = b"",
    events: int = 0,
    start: bytes = event_entries.CREATED,
    victims: Sequence[SessionKeys] = (),
    pairs: Sequence[bytes] = (),
    reused: bool = True,
) -> Call:
    """Create the session; or touch, refuse, or replace the existing one, see `modes`.

    `pairs` are metadata as stored, and `victims` are sessions to evict. `user` is the hash of the user id.
    `other_owner` and `other_user` are another form of both, which records of the user may have, see `owners`. Without
    `create`, nothing happens unless the session exists. With `events`, the most entries of the stream, it emits events;
    `start` is the letter of the first one, or empty if the event of another id tells of this one. Without `reused`,
    no session may have had the id, so the script looks for none. With it, the script finds a session that exists,
    clears the operation ids of an earlier one, and writes the event of its end if no sweep has done that.
    """
    index = target.index_keys
    keys: tuple[str, ...] = (target.record, index.deadlines, index.users, index.sandboxes, index.events)
    evicted: tuple[bytes, ...] = ()
    if victims:
        keys += session_keys_to_delete(victims)
        evicted = tuple([victim.handle for victim in victims])
    if operation_id:
        keys += (target.operations, target.creations)
    elif reused or not create:
        keys += (target.operations,)
    own: tuple[Arg, ...] = (owners.field_of(owner), owner) if owner else ()
    if idle_ms > 0:
        own += (b"i", idle_ms)
    if events:
        own += (b"e", events)
    options: tuple[Arg, ...] = (0,)
    if operation_id or victims or other_owner or not create or mode != modes.TOUCH or start != event_entries.CREATED:
        options = (
            1, int(create), mode, operation_id, modes.CREATION_WINDOW_MS, start, other_owner, other_user, len(victims),
            *evicted,
        )  # fmt: skip
    argv: tuple[Arg, ...] = (
        target.handle, sandbox_id.encode(), -deadline_ms or ttl_ms, idle_ms, user, cap, retention_ms, events,
        *options, *own, b"z", sum(map(len, pairs)), *pairs,
    )  # fmt: skip
    return new_call(Call, (ALLOCATE, keys, argv))


def retarget(call: Call, target: SessionKeys) -> Call:
    """Return the call with its keys and handle replaced by those of another session."""
    names, argv = call.operation.args, list(call.argv)
    if "handle" in names[: len(argv)]:
        argv[names.index("handle")] = target.handle
    renamed: dict[str, str] = {
        "session": target.record,
        "operations": target.operations,
        **target.index_keys._asdict(),
    }
    keys = [renamed.get(name, key) for name, key in zip(call.operation.keys, call.keys, strict=False)]
    return Call(call.operation, (*keys, *call.keys[len(keys) :]), tuple(argv))


def validate(
    target: SessionKeys, interval_ms: int, retention_ms: int, index: bool, operation: Operation = VALIDATE
) -> Call:
    """Ask whether the session is alive, and touch it. `index` declares the index, as the reply NEEDS_INDEX demands.

    The operation may also be LOAD.
    """
    if not index:
        return new_call(Call, (operation, (target.record,), (interval_ms,) if interval_ms else ()))
    return Call(operation, (target.record, target.index_keys.deadlines), (interval_ms, target.handle, retention_ms))


def load(target: SessionKeys, interval_ms: int, retention_ms: int, index: bool) -> Call:
    """Read the whole record, and touch the session. The arguments are those of `validate`."""
    return validate(target, interval_ms, retention_ms, index, LOAD)


def read(target: SessionKeys, *, operation_ids: bool = False) -> Call:
    """Read the whole record, the server's clock (ms) and, on request, the operation ids that the session remembers."""
    if operation_ids:
        return Call(READ, (target.record, target.operations), ())
    return new_call(Call, (READ, (target.record,), ()))


def fetch(target: SessionKeys) -> Call:
    """Read the whole record as it is stored, whether or not the session is alive.

    Lists read many records. In a script this would cost the server more than twice as much.
    """
    return Call(FETCH, (target.record,), ())


def fetch_marker(target: SessionKeys) -> Call:
    """Read the marker of an adopted or blocked id, see `adoption`."""
    return Call(FETCH, (target.marker,), ())


def extend(
    target: SessionKeys, *, additional_ms: int, operation_id: bytes, retention_ms: int, events: bool = False
) -> Call:
    """Move the deadline into the future by `additional_ms`. With `events`, the session probably emits events, so the
    script reads at once what they need.
    """
    index = target.index_keys
    argv: tuple[Arg, ...] = (
        target.handle,
        additional_ms,
        LATEST_MS,
        operation_id,
        EXTEND_WINDOW_MS,
        retention_ms,
        index.sandbox,
        *_hint(events),
    )
    return Call(EXTEND, (target.record, index.deadlines, target.operations, index.events), argv)


def set_ttl(target: SessionKeys, *, ttl_ms: int, retention_ms: int, events: bool = False) -> Call:
    """Move the deadline to `ttl_ms` from now, but not after the latest one allowed. `events` is that of `extend`."""
    index = target.index_keys
    argv: tuple[Arg, ...] = (target.handle, index.sandbox, ttl_ms, LATEST_MS, retention_ms, *_hint(events))
    return Call(SET_TTL, (target.record, index.deadlines, index.sandboxes, index.events), argv)


def _hint(events: bool) -> tuple[int, ...]:
    return (1,) if events else ()


def delete(
    target: SessionKeys,
    letter: bytes = event_entries.DELETED,
    *,
    owner: bytes = b"",
    version: int | None = None,
    pointer: bytes = b"",
    created: Arg = b"",
    successor: bytes = b"",
    grace_ms: int = 0,
    grants: bytes = b"",
) -> Call:
    """Delete a session if it matches every condition given: its owner, its version, its time of creation (ms), and the
    value of its field `p`, which changes with its grants.

    `letter` is that of the event which a session that emits events writes; empty means none. `pointer` deletes only the
    old id's pointer with this value, not a session. `successor` is a pointer to the id that replaces the session. It is
    left under the deleted id for the grace period and, with `grants`, until the last grant expires.
    """
    index = target.index_keys
    keys = (target.record, index.deadlines, index.users, target.operations, index.events)
    argv: tuple[Arg, ...] = (target.handle, index.sandbox, letter)
    expected: Arg = b"" if version is None else version
    conditions: tuple[Arg, ...] = (owner, expected, pointer, created, successor, grace_ms, grants)
    # Most deletions have none, and the server parses each argument.
    return Call(DELETE, keys, (*argv, *conditions) if any(part not in (b"", 0) for part in conditions) else argv)


class Lifetime(NamedTuple):
    """The lifetime that a session starts at login.

    Attributes:
        ttl_ms: time until the deadline, which is not after the latest one allowed.
        idle_ms: idle timeout; 0 means none.
        retention_ms: how long the record outlives the session.
        events: most events that the stream of the bucket may have; 0 means that the session emits none.
        kept: names of the fields that the session keeps, or the first two characters of the names.

    """

    ttl_ms: int
    idle_ms: int
    retention_ms: int
    events: int
    kept: Sequence[bytes]


def rotate(
    old: SessionKeys, new: SessionKeys, *, grace_ms: int, created: Arg = b"", lifetime: Lifetime | None = None
) -> Call:
    """Give the session a new id in the same bucket, if it was created at the time given (ms), and, on request, a new
    lifetime. The old id points to it for the grace period.
    """
    index = old.index_keys
    keys: tuple[str, ...] = (
        old.record,
        new.record,
        index.deadlines,
        index.users,
        old.operations,
        new.operations,
        index.events,
    )
    argv: tuple[Arg, ...] = (old.handle, new.handle, grace_ms, created, index.sandbox)
    if lifetime is not None:
        ttl_ms, idle_ms, retention_ms, events, kept = lifetime
        keys += (index.sandboxes,)
        argv += (ttl_ms, LATEST_MS, idle_ms, retention_ms, events, *kept)
    return Call(ROTATE, keys, argv)


def carry(target: SessionKeys, operation_ids: Sequence[bytes]) -> Call:
    """Copy operation ids to the copy of a session. They come from the reply of a read: id, until, id, until..."""
    argv = [part for pair in zip(operation_ids[1::2], operation_ids[::2], strict=True) for part in pair]
    return Call(CARRY, (target.record, target.operations), argv)
