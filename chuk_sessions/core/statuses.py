"""What the first element of a reply means. A status with nothing behind it travels as a number, for which the server
spends much less than for a table with a number in it. Scripts have the names, which are replaced when they are loaded.
"""

from __future__ import annotations

from typing import Final

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
