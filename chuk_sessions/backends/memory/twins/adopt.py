"""Twin of `lua/adopt.lua`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....core.adoption import BLOCK, IF_UNCHANGED
from ....core.event_entries import CREATED as STARTED
from ....core.operation import Reply
from ....core.rate_limits import PREFIX
from ....core.statuses import CREATED, EXISTS, OK
from ..keyspace import Fields, Keyspace, Value, pairs, text
from .include import Opened, add_event, index_score, open_, parse_int, write_record

_FIRST = 13


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Adopt a session of another store, unless its id was adopted or blocked before; or bring an adopted one up to
    date.
    """
    key, deadlines, _, _, _, marker = keys
    handle, _, mode, deadline, overlap = argv[:5]
    opened = open_(space, key, b"v", b"t", b"e")
    exists = space.exists(key) or space.zscore(deadlines, handle) is not None
    marked = parse_int(space.hash(marker).get(b"d")) or 0
    outcome: Reply = [EXISTS] if isinstance(opened, tuple) else opened
    written: tuple[int, Value] | None = None
    is_accessed = False
    expiry = deadline
    if mode != BLOCK:
        accessed, idle = argv[7:9]
        expiry = min(deadline, accessed + idle) if idle else deadline
        if expiry <= space.now:
            return outcome
        if not exists:
            written = (argv[9], argv[12]) if marked <= space.now else None
        elif mode == IF_UNCHANGED and isinstance(opened, tuple) and marked > space.now:
            written, is_accessed, expiry = _refreshed(opened, space.hash(marker), argv)
    valid_until = max(marked, deadline)
    if mode == BLOCK or marked <= space.now:
        valid_until = max(valid_until, space.now + overlap)
    if written and not exists and written[1]:
        _emit_start(space, keys, argv)
    if written or valid_until > marked:
        space.hset(marker, {b"d": valid_until} if mode != BLOCK else {b"d": valid_until, b"b": space.now})
        space.pexpireat(marker, valid_until)
    if is_accessed and not written:
        _access(space, keys, argv, expiry, opened)
        return [OK]
    if not written:
        return outcome
    space.hset(marker, {b"v": written[0], b"f": argv[5]})
    _write(space, keys, argv, expiry, *written, opened[2] if isinstance(opened, tuple) else 0)
    return [OK if exists else CREATED]


def _refreshed(
    opened: Opened, marker: Mapping[bytes, Value], argv: Sequence[Any]
) -> tuple[tuple[int, Value] | None, bool, int]:
    """Return the version of a session that is to be brought up to date, and the most events of the stream; or None.
    Then whether it was accessed later at the source, and its expiry.
    """
    _, _, touched, _, present, origin, emits = opened
    accessed, idle = argv[7:9]
    adopted, known = (marker.get(name, b"") for name in (b"v", b"f"))
    if origin is None or present is None or text(present) != text(adopted):
        return None, False, argv[3]
    written = (max((parse_int(present) or 0) + 1, argv[9]), emits or 0) if text(known) != argv[5] else None
    return written, accessed > touched, min(argv[3], max(touched, accessed) + idle) if idle else argv[3]


def _access(space: Keyspace, keys: Sequence[str], argv: Sequence[Any], expiry: int, opened: Any) -> None:
    """Pass on a later access at the source."""
    space.hset_one(keys[0], b"a", argv[7])
    space.pexpireat(keys[0], expiry + argv[11])
    space.zadd(keys[1], index_score(expiry, opened[6]), argv[0])


def _emit_start(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> None:
    """Write the event of a session that is about to be adopted."""
    handle, sandbox, _, deadline = argv[:4]
    created, most, fields = argv[6], argv[12], dict(pairs(argv[_FIRST:]))
    described = STARTED + b"%d" % argv[9]
    times = (b"%d" % created, b"%d" % (deadline - created))
    add_event(space, keys[4], most, sandbox, handle, described, times, fields.get(b"u", b""), fields.get(b"s"))


def _write(
    space: Keyspace, keys: Sequence[str], argv: Sequence[Any], expiry: int, version: int, most: Value, touched: int
) -> None:
    """Write the record, and add the session to the indexes."""
    key, deadlines, users, sandboxes = keys[:4]
    handle, sandbox, _, deadline = argv[:4]
    user, retention = argv[10:12]
    fields: Fields = {b"c": argv[6], b"d": deadline, b"a": space.now, b"v": version, **dict(pairs(argv[_FIRST:]))}
    before = list(pairs(space.hgetall(key)))
    write_record(space, key, fields, space.exists(key))
    changed: Fields = {b"t": deadline, b"a": max(touched, argv[7])}
    space.hset(key, changed if not most else {**changed, b"e": most})
    _keep_limits(space, key, before)
    space.pexpireat(key, expiry + retention)
    score = index_score(expiry, most or None)
    space.zadd(deadlines, score, handle)
    if argv[_FIRST] in (b"u", b"h"):
        space.zadd(users, user, handle)
    else:
        space.zrem(users, handle)
    earliest = space.zscore(sandboxes, sandbox)
    if earliest is None or earliest > score:
        space.zadd(sandboxes, score, sandbox)


def _keep_limits(space: Keyspace, key: str, before: Sequence[tuple[bytes, bytes]]) -> None:
    """Restore the rate limits of a record that was written over, unless the new one is further used up."""
    for field, value in before:
        used, fields = parse_int(value) if field.startswith(PREFIX) else None, space.hash(key)
        if used is not None and used > (parse_int(fields.get(field)) or 0):
            space.hset(key, {field: value, b"z": (parse_int(fields.get(b"z")) or 0) + len(field) + len(value)})
