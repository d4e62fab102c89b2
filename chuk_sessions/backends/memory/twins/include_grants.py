"""Twins of the steps in `lua/include/` that are about grants, and about the pointers that lead to them."""

from __future__ import annotations

from ....core.grants import PREFIX
from ....core.operation import Reply
from ....core.statuses import GONE, MOVED
from ..keyspace import Fields, Keyspace, Value, text
from .include import Opened, open_, parse_int


def open_for_grants(space: Keyspace, key: str) -> Opened | Reply:
    """Open a record as `open_` does. While grants that were given under a rotated id count, follow its pointer, also
    after its grace period.
    """
    opened = open_(space, key, b"z", b"p")
    if opened != [GONE]:
        return opened
    field = space.hash(key).get
    pointer = field(b"r")
    leads_on = field(b"a") is None and pointer is not None and (parse_int(field(b"p")) or 0) > space.now
    return [MOVED, pointer] if leads_on else opened


def leave_pointer(
    space: Keyspace, key: str, successor: bytes, deadline: int, grace: int, last_grant: int | None
) -> None:
    """Leave a pointer to the session that replaces an old id: for the grace period, and for operations on grants until
    the last grant that was given under the old id expires.
    """
    pointer_expiry, last = min(deadline, space.now + grace) if grace > 0 else 0, last_grant or 0
    until = max(pointer_expiry, last)
    if until <= space.now:
        return
    fields: Fields = {b"r": successor, b"d": pointer_expiry}
    if last > space.now:
        fields[b"p"] = last
    space.hset(key, fields)
    space.pexpireat(key, until)


def grant_expiry(stored: Value | None) -> int:
    """Return when a grant expires, ms, from its field. A missing or damaged grant has expired."""
    return 0 if stored is None else parse_int(text(stored).partition(b" ")[0]) or 0


def list_grants(space: Keyspace, key: str) -> tuple[list[bytes], list[bytes]]:
    """Return the grants of a session that count, as field, value, field, value..., and the fields of expired ones."""
    live: list[bytes] = []
    expired: list[bytes] = []
    for field, value in space.hash(key).items():
        if field[:2] == PREFIX:
            if grant_expiry(value) > space.now:
                live += (field, text(value))
            else:
                expired.append(field)
    return live, expired
