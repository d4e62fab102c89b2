"""Twins of the shared steps in `lua/include/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, inf
from re import compile as pattern
from typing import Any

from ....core.event_entries import EXPIRED, IDLE, UPDATED
from ....core.operation import Reply
from ....core.statuses import CORRUPT, GONE, MOVED, NEEDS_INDEX, OK
from ..keyspace import Fields, Keyspace, Value, pairs, text
from ..stream import parse_id

Opened = tuple[int, int, int, int | None, Value | None, Value | None, Value | None]
"""Expiry, deadline, last access, and idle timeout (or None) of a live session, all in ms, and three further fields.

The expiry is the deadline or, if that is earlier, the end of the idle timeout.
"""

Victim = tuple[bytes, str, str, float, bytes]
"""A handle, the keys of the record and of its operation ids, the score of the index entry, and a letter for the reason;
empty if the session has expired.
"""

LastFields = tuple[
    int, Value | None, Value | None, Value | None, Value | None, Value | None, Value | None, Value | None
]
"""Deadline, creation time, version, owner, salt, most events, last access, and idle timeout of a session that ends."""

HALF_MS = 0.5
"""Half of the unit of times. Added to now, it is the lowest score of a live session."""

_SMALLEST, _LARGEST = -(10**14 - 1), 10**15 - 1
_DIGITS = pattern(rb"-?[0-9]+").fullmatch


def parse_int(value: Value | None) -> int | None:
    """Parse a whole number in plain digits, at most 15 characters; None for anything else."""
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else None
    if value is None or len(value) > 15:
        return None
    return int(value) if value.isdigit() or _DIGITS(value) else None


def open_(space: Keyspace, key: str, first: bytes = b"", second: bytes = b"", third: bytes = b"") -> Opened | Reply:
    """Open a record: return `Opened` if its session is alive, else the reply that finishes the operation, a list."""
    field = space.hash(key).get
    deadline_text, accessed_text, idle_text = field(b"d"), field(b"a"), field(b"i")
    if deadline_text is None:
        return [GONE]
    # The times of nearly all records are numbers already. Parsing takes two calls.
    deadline: int | None
    accessed: int | None
    if isinstance(deadline_text, int) and isinstance(accessed_text, int) and deadline_text <= _LARGEST >= accessed_text:
        deadline, accessed = deadline_text, accessed_text
    else:
        deadline, accessed = parse_int(deadline_text), parse_int(accessed_text)
    if deadline is None:
        return [CORRUPT]
    if deadline <= space.now:
        return [GONE]
    if accessed is None:
        pointer = field(b"r")
        return [CORRUPT] if pointer is None else [MOVED, pointer]
    if idle_text is None:
        return deadline, deadline, accessed, None, field(first), field(second), field(third)
    idle = parse_int(idle_text)
    if idle is None:
        return [CORRUPT]
    expiry = min(deadline, accessed + idle)
    if expiry <= space.now:
        return [GONE]
    return expiry, deadline, accessed, idle, field(first), field(second), field(third)


def touch(
    space: Keyspace,
    key: str,
    deadlines: str,
    handle: bytes,
    deadline: int,
    idle: int | None,
    retention: int,
    emits: Value | None,
) -> None:
    """Record an access now, and move the expiry of an idle session in its record and in the index."""
    space.hset_one(key, b"a", space.now)
    if idle is None:
        return
    expiry = min(deadline, space.now + idle)
    space.zadd(deadlines, index_score(expiry, emits), handle)
    space.pexpireat(key, expiry + retention)


def index_score(expiry: int, emits: Value | None) -> float:
    """Return the score of a session in the index of deadlines: when it expires, ms.

    Half a ms less marks a session that emits events. Times are whole ms, so every session, marked or not, is alive as
    long as its score is above now.
    """
    return expiry if emits is None else expiry - HALF_MS


def list_expired(space: Keyspace, deadlines: str, limit: int) -> tuple[list[bytes], list[bytes]]:
    """List expired sessions, at most `limit`: the handles of those that emit no events, and of those with a marked
    score.
    """
    silent: list[bytes] = []
    marked: list[bytes] = []
    for handle in space.zrangebyscore(deadlines, 0, space.now, limit):
        (marked if (space.zscore(deadlines, handle) or 0) % 1 else silent).append(handle)
    return silent, marked


def access(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Open a session, and record the access unless the touch interval after the last one is not over. Of an idle
    session, the expiry moves with it, at least once within each half of the idle timeout.

    Takes the keys and arguments of `validate` and of `load`.
    """
    key, interval = keys[0], argv[0] if argv else 0
    opened = open_(space, key, b"e")
    if isinstance(opened, list):
        return opened
    _, deadline, accessed, idle, emits, *_ = opened
    if idle is not None:
        interval = min(interval, idle // 2)
    if space.now - accessed >= interval and space.now > accessed:
        if idle is not None and len(keys) < 2:
            return [NEEDS_INDEX]
        deadlines, handle, retention = (keys[1], *argv[1:]) if len(keys) > 1 else ("", b"", 0)
        touch(space, key, deadlines, handle, deadline, idle, retention, emits)
    return [OK]


def move_deadline(
    space: Keyspace,
    key: str,
    deadlines: str,
    sandboxes: str | None,
    handle: bytes,
    sandbox: bytes,
    version: int,
    deadline: int,
    accessed: int,
    idle: int | None,
    retention: int,
    emits: Value | None,
) -> None:
    """Move a session's deadline: in its record, in the index, and in the expiry of the record's key.

    A deadline that may become earlier needs the index of sandboxes, too.
    """
    expiry = deadline if idle is None else min(deadline, accessed + idle)
    space.hset(key, {b"d": deadline, b"v": version})
    space.pexpireat(key, expiry + retention)
    score = index_score(expiry, emits)
    space.zadd(deadlines, score, handle)
    if sandboxes is not None:
        space.zadd(sandboxes, score, sandbox, lower_only=True)


def applied(space: Keyspace, operations: str, operation: bytes) -> bool:
    """Return whether an operation id was applied and still counts."""
    valid_until = space.zscore(operations, operation)
    return valid_until is not None and valid_until > space.now


def remember(space: Keyspace, operations: str, operation: bytes, window: int) -> None:
    """Store an operation id, and remove those that no longer count. The caller sets the expiry of the key."""
    space.zadd(operations, space.now + window, operation)
    space.zremrangebyscore(operations, space.now)


def expire_with_last(space: Keyspace, operations: str) -> None:
    """Expire the key of a session's operation ids together with the id that counts longest."""
    last = space.zlast(operations)
    if last is not None:
        space.pexpireat(operations, int(last[1]))


def bound_of(field: Value | None) -> float:
    """Return the stored upper bound of a session's size; infinity if it cannot be read, so that `measure` counts."""
    bound = parse_int(field)
    return inf if bound is None else bound


def measure(
    space: Keyspace, key: str, bound: float, limit: int, changes: Sequence[bytes], removals: Sequence[bytes] = ()
) -> float:
    """Return an upper bound of a session's size, once `changes` (field, value pairs) are written and the fields in
    `removals` are gone.

    Derive it from the old bound if that stays within the limit; otherwise count. The size is the names and values, in
    bytes, of all fields whose names are longer than one character.
    """
    growth = 0
    for field, value in pairs(changes):
        if len(field) == 1:
            continue
        old_length = space.hstrlen(key, field)
        growth += len(value) - old_length + (0 if old_length else len(field))
    growth -= sum(len(field) + length for field in removals if (length := space.hstrlen(key, field)))
    if bound + growth <= limit:
        return bound + growth
    fields = space.hash(key).items()
    return growth + sum(len(field) + len(text(value)) for field, value in fields if len(field) > 1)


def succeed(space: Keyspace, key: str) -> tuple[int, int] | None:
    """Return creation time and version of a session that replaces a live one; None if the old one cannot be read.

    Both are higher than the old ones, even within one ms: a call that names the old ones must not find the new session.
    """
    record = space.hash(key)
    created, version = parse_int(record.get(b"c")), parse_int(record.get(b"v"))
    return None if version is None else (max(space.now, (created or 0) + 1), version + 1)


def write_record(space: Keyspace, key: str, fields: Fields, exists: bool) -> None:
    """Write the record of a new session, and remove the fields that an earlier session of the same id has left."""
    space.hset(key, fields)
    if exists:
        space.hdel(key, [field for field in space.hkeys(key) if field not in fields])


def remember_creation(space: Keyspace, creations: str, operation: bytes, window: int) -> None:
    """Store the operation id of a creation with the 15 latest ones of the same session id."""
    space.zremrangebyrank(creations, -16)
    remember(space, creations, operation, window)
    space.pexpireat(creations, space.now + window)


def unindex(space: Keyspace, deadlines: str, users: str, handle: bytes) -> bool:
    """Remove a session from both indexes. Return whether the first one had it."""
    space.zrem(users, handle)
    return space.zrem(deadlines, handle)


def remove_sessions(
    space: Keyspace, sessions: Iterable[Victim], deadlines: str, users: str, events: str, sandbox: bytes
) -> None:
    """Remove sessions. The mark in the score tells which ones emit events.

    Only the call that removes an index entry writes the event.
    """
    for handle, record, operations, score, letter in sessions:
        last = last_fields(space, record, score) if score % 1 else None
        space.delete(record)
        space.delete(operations)
        if unindex(space, deadlines, users, handle) and last is not None:
            emit_end(space, events, sandbox, handle, letter, b"", last)


def last_fields(space: Keyspace, key: str, score: float) -> LastFields:
    """Return what the event of the end of a session tells, from its record.

    Without a deadline, the score of its index entry is the deadline, and nothing else is known.
    """
    field = space.hash(key).get
    deadline = parse_int(field(b"d"))
    if deadline is None:
        return ceil(score), None, None, None, None, None, None, None
    return deadline, field(b"c"), field(b"v"), field(b"u"), field(b"s"), field(b"e"), field(b"a"), field(b"i")


def emit_end(
    space: Keyspace, events: str, sandbox: bytes, handle: bytes, letter: bytes, pointer: bytes, last: LastFields
) -> None:
    """Write the event of the end of a session.

    Without a `letter` for another reason, it has expired: at its deadline, or earlier because it was idle.
    """
    deadline, created, version, owner, salt, most, *access = last
    accessed, idle = map(parse_int, access)
    was_idle = accessed is not None and idle is not None and accessed + idle < deadline
    letter = letter or (IDLE if was_idle else EXPIRED)
    emit(space, events, sandbox, handle, letter, pointer, deadline, (created, version, owner, salt, most))


def emit_change(
    space: Keyspace,
    key: str,
    events: str,
    sandbox: bytes,
    handle: bytes,
    letter: bytes,
    version: int,
    deadline: int,
    emits: Value,
) -> None:
    """Write an event of a live session that is about to change."""
    field = space.hash(key).get
    fields = (field(b"c"), version, field(b"u"), field(b"s"), emits)
    emit(space, events, sandbox, handle, letter, b"", deadline, fields)


def emit_update(space: Keyspace, keys: Sequence[str], session: Sequence[bytes], version: int, deadline: int) -> None:
    """Write the event of a change of metadata, with the keys of `increment` and `append`.

    `session` is handle and sandbox.
    """
    key, _, events = keys
    handle, sandbox = session
    emits = space.hash(key).get(b"e")
    if emits is not None:
        emit_change(space, key, events, sandbox, handle, UPDATED, version, deadline, emits)


def emit(
    space: Keyspace,
    events: str,
    sandbox: bytes,
    handle: bytes,
    letter: bytes,
    pointer: bytes,
    deadline: int,
    fields: tuple[Value | None, Value | None, Value | None, Value | None, Value | None],
) -> None:
    """Write an event of a session, with creation time, version, owner, salt, and most events from its record.

    Parsing finds damaged numbers. Only what would fail here is checked.
    """
    created, version, owner, salt, most = (None if field is None else text(field) for field in fields)
    if most is None or len(most) > 15 or not most.isdigit() or most[:1] == b"0":
        most = b"10000"
    described = letter + (version or b"0") + (b" " + pointer if pointer else b"")
    times = (created or b"", b"%d" % (deadline - (parse_int(created) or 0)))
    add_event(space, events, int(most), sandbox, handle, described, times, owner or b"", salt)


def add_event(
    space: Keyspace,
    events: str,
    most: int,
    sandbox: bytes,
    handle: bytes,
    described: bytes,
    times: tuple[bytes, bytes],
    owner: bytes,
    salt: bytes | None,
) -> None:
    """Add an event to the stream of the bucket. `times` are creation time and lifetime."""
    created, lifetime = times
    fields = [sandbox, handle, b"k", described, b"c", created, b"d", lifetime, b"u", owner]
    space.xadd(events, fields if salt is None else [*fields, b"s", salt], most)


def page(
    space: Keyspace, key: str, lowest: float, highest: float | None, limit: int, after: Sequence[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """Return at most `limit` members with scores from `lowest` to `highest`, in order, and score and member of the last
    one if there may be more.

    `after` is the score and member of the entry to continue after, or empty for the first page.
    """
    entry = (float(after[0]), after[1]) if after else None
    members = space.zrangebyscore(key, lowest, highest, limit, entry)
    if not members or len(members) < limit:
        return members, []
    return members, [b"%.17g" % (space.zscore(key, members[-1]) or 0), members[-1]]


def filter_live(space: Keyspace, deadlines: str, handles: list[bytes]) -> list[bytes]:
    """Return the handles whose sessions are alive according to the index."""
    return [handle for handle in handles if (space.zscore(deadlines, handle) or 0) > space.now]


def is_after(entry: bytes, other: bytes) -> bool:
    """Return whether an entry of a stream comes after another one, given their ids."""
    return parse_id(entry) > parse_id(other)
