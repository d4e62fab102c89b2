"""Statuses: the first element of a reply.

A status that nothing follows is sent as a bare number, because a table that holds the number costs the server much
more. Scripts use the names. The loader replaces them by the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import exceptions as errors
from . import codec
from .operation import Operation, Reply

GONE: Final = 0
"""There is no live session: it was never created, or it has expired, or it was deleted or revoked."""
OK: Final = 1
"""The operation is done, or the session is alive."""
CREATED: Final = 2
"""A session was created."""
EXISTS: Final = 3
"""The session existed and was touched or, in mode create, left as it was."""
MOVED: Final = 4
"""The id was rotated; the pointer to the session follows: its handle, or its reference."""
FULL: Final = 5
"""The user has as many sessions as allowed; their handles follow."""
OTHER_OWNER: Final = 6
"""The session belongs to another user."""
CONFLICT: Final = 7
"""The record does not have the expected version; its version follows."""
NOT_A_COUNTER: Final = 8
"""The value is not a whole number within ±(2^53 - 1), or would leave that range."""
CEILING: Final = 9
"""The sum would exceed the ceiling or the rate limit, so nothing was added; the present value follows."""
NEEDS_INDEX: Final = 10
"""The expiry of an idle session must move; the caller has to retry with the index among the keys."""
TOO_FAR: Final = 11
"""The deadline would be later than the latest one allowed; the present deadline (ms) follows."""
CORRUPT: Final = 12
"""The record lacks a required field, or a field has an invalid value."""
TOO_LARGE: Final = 13
"""The session would exceed its size limit; the size that it would have (bytes) follows."""
APPLIED: Final = 14
"""A change with this operation id was applied before; nothing was changed now."""
MISMATCH: Final = 15
"""Values of the metadata are not the expected ones; their fields follow."""
NOT_A_LIST: Final = 16
"""The value to append to is not a list."""
LIST_FULL: Final = 17
"""The list would exceed its limit; the size that it would have (bytes) follows."""
HELD: Final = 21
"""Another process holds the lease; the time (ms) that is left of it follows."""

OTHER_SALT: Final = 18
"""The values are encrypted under another salt than the record's, which follows; nothing was written."""
OTHER_ENCODING: Final = 19
"""The record has its owner in a form that the caller lacks, a keyed hash or text, so nobody can tell whose it is."""
ENCRYPTED: Final = 20
"""The value to count or to append to is encrypted."""

NAMES: Final = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}
"""Names of statuses by number."""

DONE: Final = frozenset({OK})
"""The statuses of an operation that always succeeds."""
ONE_SESSION: Final = frozenset({GONE, MOVED, CORRUPT})
"""The statuses that every operation on one session may reply with."""

_ERRORS: Final[dict[int, Callable[[Reply], Exception]]] = {
    OTHER_OWNER: lambda _: errors.SessionOwnerError("the session belongs to another user"),
    CONFLICT: lambda reply: errors.VersionConflictError(
        f"the session was changed: its version is {reply[1]} now", reply[1]
    ),
    NOT_A_COUNTER: lambda _: errors.NotACounterError(
        "the value is not a whole number within ±(2^53 - 1), or would leave that range"
    ),
    MISMATCH: lambda reply: errors.MetadataConflictError(
        tuple([codec.key_of(field) for field in reply[1] if field.startswith(codec.PREFIX)])
    ),
    OTHER_ENCODING: lambda _: errors.KeyUnavailableError(
        "the owner of a stored session is encrypted under a key that this manager lacks"
    ),
    ENCRYPTED: lambda _: errors.EncryptedValueError(
        "the value is encrypted, so that the store cannot change it; name its key in plain_keys"
    ),
    NOT_A_LIST: lambda _: errors.NotAListError("the value to append to is not a list"),
    LIST_FULL: lambda reply: errors.ListFullError(f"the list would have {reply[1]} bytes, more than max_bytes"),
    TOO_LARGE: lambda reply: errors.SessionTooLargeError(
        f"the session would have {reply[1]} bytes of metadata, more than the manager's max_session_bytes"
    ),
    TOO_FAR: lambda _: ValueError("the deadline would be after the year 9999"),
    CORRUPT: lambda _: errors.CorruptRecordError(
        "a stored session lacks a required field, or a field has an invalid value"
    ),
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
