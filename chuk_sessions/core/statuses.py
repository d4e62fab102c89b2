"""What the first element of a reply means. A status with nothing behind it travels as a number, for which the server
spends much less than for a table with a number in it. Scripts have the names, which are replaced when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import exceptions as errors
from .operation import Operation, Reply

GONE: Final = 0
"""No live session there: never made, ended, deleted or revoked."""
OK: Final = 1
"""Done, or alive."""
CREATED: Final = 2
"""A session was made."""
EXISTS: Final = 3
"""The session was there already and has been touched."""
MOVED: Final = 4
"""The id was rotated; the session lies under the handle that follows."""
FULL: Final = 5
"""The user has as many sessions as allowed; their handles follow."""
OTHER_OWNER: Final = 6
"""The session belongs to somebody else."""
CONFLICT: Final = 7
"""The record has another version than expected; its version follows."""
NOT_A_COUNTER: Final = 8
"""The value is not a whole number within 2^53, or would not be one afterwards."""
CEILING: Final = 9
"""The addition would pass the ceiling and was left out; the value follows."""
NEEDS_INDEX: Final = 10
"""The end of an idle session must move: the call is to be made again with the index declared."""
TOO_FAR: Final = 11
"""The deadline would lie further away than deadlines may."""
CORRUPT: Final = 12
"""The record lacks a field that every record has, or holds nonsense in it."""
TOO_LARGE: Final = 13
"""The session would have more bytes than its manager allows; that number follows."""

NAMES: Final = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}

_ERRORS: Final[dict[int, Callable[[Reply], Exception]]] = {
    OTHER_OWNER: lambda _: errors.SessionOwnerError("the session belongs to another user"),
    CONFLICT: lambda reply: errors.VersionConflictError(
        f"the session was changed: its version is {reply[1]} now", reply[1]
    ),
    NOT_A_COUNTER: lambda _: errors.NotACounterError(
        "the value is not a whole number within ±(2^53 - 1), or would leave that range"
    ),
    TOO_LARGE: lambda reply: errors.SessionTooLargeError(
        f"the session would have {reply[1]} bytes of metadata, more than the manager's max_session_bytes"
    ),
    TOO_FAR: lambda _: ValueError("the deadline would be after the year 9999"),
    CORRUPT: lambda _: errors.CorruptRecordError("a stored session lacks a field or holds nonsense in it"),
}


def check(operation: Operation, reply: Reply) -> int:
    """Return the status of a reply, or raise the error that it stands for.

    Raises ProviderError for a status that the operation does not declare.
    """
    status: int = reply[0]
    if status in _ERRORS:
        raise _ERRORS[status](reply)
    if status not in operation.statuses:
        raise errors.ProviderError(f"{operation.name} replied with the undeclared status {status!r}")
    return status
