"""Results: the values that callers get for the replies of operations on one session."""

from __future__ import annotations

from collections.abc import Callable

from ..core import statuses as s
from ..core.operation import Reply
from ..core.record import Record, fields_of
from ..core.values import ValueCodec
from ..models import Increment


def is_ok(reply: Reply) -> bool:
    """Return whether the operation was applied to a live session, now or by an earlier call."""
    return reply[0] in (s.OK, s.APPLIED)


def record_reader(values: ValueCodec) -> Callable[[Reply], Record | None]:
    """Return a function that returns the record that was read, or None when there is no such session."""

    def record(reply: Reply) -> Record | None:
        return Record.from_reply(reply[1], values) if reply[0] == s.OK else None

    return record


def fields(reply: Reply) -> dict[bytes, bytes]:
    """Return the fields of the record that was read, as stored; none when there is no such session."""
    return fields_of(reply[1]) if reply[0] == s.OK else {}


def size(reply: Reply) -> int | None:
    """Return the size of the list that was appended to, in bytes; None when there is no such session."""
    return None if reply[0] == s.GONE else int(reply[1])


def increment(reply: Reply) -> Increment | None:
    """Return whether the addition was applied, and the value; None when there is no such session."""
    return None if reply[0] == s.GONE else Increment(reply[0] == s.OK, reply[1])
