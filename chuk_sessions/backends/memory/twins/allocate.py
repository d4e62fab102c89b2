"""Twin of `lua/allocate.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from ....core.event_entries import CREATED as CREATED_LETTER
from ....core.event_entries import REPLACED
from ....core.modes import CREATE, REPLACE, TOUCH
from ....core.operation import Reply
from ....core.statuses import CORRUPT, CREATED, EXISTS, GONE
from ..keyspace import Fields, Keyspace, pairs, text
from . import include
from .include import Victim
from .include_owners import compare_owner, make_room

_SWEEP_BATCH = 16
_USUAL_OPTIONS = (1, TOUCH, b"", 0, CREATED_LETTER, b"", 0, 0)


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Create a session; or touch, refuse, or replace the one that exists."""
    key, deadlines, users, _, events = keys[:5]
    _, _, lifetime, new_idle, _, cap, retention, most, options = argv[:9]
    create, mode, operation, window, start, _, _, victims = argv[9:17] if options else _USUAL_OPTIONS
    first = 17 + victims if options else 9
    owner = argv[first + 1] if argv[first] in (b"u", b"h") else b""
    operations, creations = (*keys[5 + 2 * victims :], "", "")[:2]
    if operation != b"" and include.applied(space, creations, operation):
        return [CREATED]
    now = space.now
    found = _at_existing(space, keys, argv, owner, mode) if operations else [GONE]
    if isinstance(found, list) and (found[0] != GONE or create == 0):
        return found
    created, version = (now, 1) if isinstance(found, list) else found
    evicted: list[Victim] = []
    if cap > 0 and (full := make_room(space, keys, argv, owner, evicted)) is not None:
        return full

    deadline = now + lifetime if lifetime > 0 else -lifetime
    if deadline <= now:
        return [GONE]
    expiry = min(deadline, now + new_idle) if new_idle > 0 else deadline
    score = include.index_score(expiry, most or None)
    if operations and isinstance(found, list) and most:
        created = _distinct_creation(space, events, argv, created)
    fields: Fields = {b"c": created, b"d": deadline, b"a": now, b"v": version}
    fields.update(pairs(argv[first:]))
    if operations:
        _emit_former_end(space, keys, argv, b"" if isinstance(found, list) else REPLACED)
    if most and start != b"":
        _emit_start(space, events, argv, start, fields)
    include.write_record(space, key, fields, bool(operations))
    if operations:
        space.delete(operations)
    if operation != b"":
        include.remember_creation(space, creations, operation, window)
    space.pexpireat(key, expiry + retention)
    earliest = _index(space, keys, argv, owner, score, reused=bool(operations))
    if evicted:
        include.remove_sessions(space, evicted, deadlines, users, events, argv[1])
    return [CREATED] if earliest > now else _with_expired(space, deadlines)


def _distinct_creation(space: Keyspace, events: str, argv: Sequence[Any], created: int) -> int:
    """Return a creation time other than that of an earlier session of the same id that was deleted in this ms."""
    handle, sandbox = argv[:2]
    last = space.xrange(events, space.xstate(events)[0], b"+")
    if last and last[0][1][:2] == [sandbox, handle]:
        earlier = include.parse_int(last[0][1][5])
        if earlier is not None and created <= earlier < created + 1000:
            return earlier + 1
    return created


def _with_expired(space: Keyspace, deadlines: str) -> Reply:
    """Return the reply to a creation, with expired sessions to sweep if there are many."""
    expired = include.list_expired(space, deadlines, _SWEEP_BATCH)
    return [CREATED, *expired] if sum(map(len, expired)) == _SWEEP_BATCH else [CREATED]


def _emit_former_end(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], letter: bytes) -> None:
    """Write the event of the end of an earlier session of the same id, if no sweep has done that."""
    key, deadlines, _, _, events = keys[:5]
    handle, sandbox = argv[:2]
    score = space.zscore(deadlines, handle)
    if score is not None and score % 1:
        include.emit_end(space, events, sandbox, handle, letter, b"", include.last_fields(space, key, score))


def _emit_start(space: Keyspace, events: str, argv: Sequence[Any], letter: bytes, fields: Fields) -> None:
    """Write the first event of a session that is about to be created."""
    handle, sandbox, most = *argv[:2], argv[7]
    created, deadline, version = (int(fields[name]) for name in (b"c", b"d", b"v"))
    owner, salt = text(fields.get(b"u", b"")), fields.get(b"s")
    times = (b"%d" % created, b"%d" % (deadline - created))
    described = letter + b"%d" % version
    include.add_event(
        space, events, most, sandbox, handle, described, times, owner, None if salt is None else text(salt)
    )


def _at_existing(
    space: Keyspace, keys: Sequence[str], argv: Sequence[Any], owner: bytes, mode: bytes
) -> tuple[int, int] | Reply:
    """Touch or refuse a live session, or return creation time and version of the one that replaces it."""
    handle, retention = argv[0], argv[6]
    opened = include.open_(space, keys[0], b"u", b"e")
    if isinstance(opened, list):
        return opened
    if mode == REPLACE:
        return include.succeed(space, keys[0]) or [CORRUPT]
    _, deadline, _, idle, current_owner, emits, _ = opened
    if mode == CREATE:
        return [EXISTS]
    if owner not in (b"", current_owner):
        difference = compare_owner(space, keys[0], current_owner, owner, argv[14] if argv[8] else b"")
        if difference is not None:
            return difference
    include.touch(space, keys[0], keys[1], handle, deadline, idle, retention, emits)
    return [EXISTS]


def _index(
    space: Keyspace, keys: Sequence[str], argv: Sequence[Any], owner: bytes, score: float, *, reused: bool
) -> float:
    """Add the session to the indexes. Return when the first session of the sandbox expired or expires."""
    _, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, user = *argv[:2], argv[4]
    space.zadd(deadlines, score, handle)
    if owner != b"":
        space.zadd(users, user, handle)
    elif reused:
        space.zrem(users, handle)
    earliest = space.zscore(sandboxes, sandbox)
    if earliest is None or earliest > score:
        space.zadd(sandboxes, score, sandbox)
    return inf if earliest is None else earliest
