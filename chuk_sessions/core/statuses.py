"""Statuses: the first element of a reply.

A status that nothing follows is sent as a bare number, because a table that holds the number costs the server much
more. Scripts use the names. The loader replaces them by the numbers.
"""

from __future__ import annotations

from typing import Final

GONE: Final = 0
"""There is no live session: it was never created, or it has expired, or it was deleted or revoked."""
OK: Final = 1
"""The operation is done, or the session is alive."""
CREATED: Final = 2
"""A session was created."""
EXISTS: Final = 3
"""The session existed and was touched."""
MOVED: Final = 4
"""The id was rotated; the handle of the session follows."""
FULL: Final = 5
"""The user has as many sessions as allowed; their handles follow."""
OTHER_OWNER: Final = 6
"""The session belongs to another user."""
CONFLICT: Final = 7
"""The record does not have the expected version; its version follows."""
NOT_A_COUNTER: Final = 8
"""The value is not a whole number within ±(2^53 - 1), or would leave that range."""
CEILING: Final = 9
"""The sum would exceed the ceiling, so nothing was added; the value follows."""
NEEDS_INDEX: Final = 10
"""The expiry of an idle session must move; the caller has to retry with the index among the keys."""
TOO_FAR: Final = 11
"""The deadline would be later than the latest one allowed; the present deadline (ms) follows."""
CORRUPT: Final = 12
"""The record lacks a required field, or a field has an invalid value."""
TOO_LARGE: Final = 13
"""The session would exceed its size limit; the size that it would have (bytes) follows."""

NAMES: Final = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}
"""Names of statuses by number."""
