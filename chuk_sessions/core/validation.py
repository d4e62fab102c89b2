"""Checks of the arguments that developers pass to SessionManager. An invalid argument raises ValueError."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import iscoroutinefunction

from ..exceptions import SessionTooLargeError
from . import codec, ids

MAX_SANDBOX_LENGTH = 128
MAX_USER_LENGTH = 512
LARGEST_COUNTER = 2**53 - 1
"""The largest whole number up to which a double represents all of them. Lua's numbers are doubles."""


def owner(user_id: object) -> bytes:
    """Return a user id as it is stored.

    Raises:
        ValueError: it is not a string of 1 to 512 characters.

    """
    if not isinstance(user_id, str) or not 0 < len(user_id) <= MAX_USER_LENGTH:
        raise ValueError(f"user_id must be a string of 1 to {MAX_USER_LENGTH} characters")
    return ids.user_bytes(user_id)


def removals(remove: Iterable[str]) -> list[bytes]:
    """Return the record fields of metadata keys to remove.

    Raises:
        ValueError: `remove` is one string instead of several.
        InvalidMetadataError: a key is not a string.

    """
    if isinstance(remove, str):
        raise ValueError("remove must be a list of keys, not a single string")
    return [codec.field_of(key) for key in remove]


def check_size(pairs: Sequence[bytes], limit: int) -> None:
    """Raise SessionTooLargeError if the metadata of a new session is larger than `limit` bytes."""
    size = sum(map(len, pairs))
    if size > limit:
        raise SessionTooLargeError(f"the session would have {size} bytes of metadata; {limit} are allowed")


def check_whole(number: object, name: str) -> None:
    """Raise ValueError unless `number` is a whole number that a double represents exactly."""
    if isinstance(number, bool) or not isinstance(number, int) or abs(number) > LARGEST_COUNTER:
        raise ValueError(f"{name} must be a whole number within ±(2^53 - 1)")


def plain_function(function: object, name: str) -> None:
    """Raise ValueError unless `function` is callable and not a coroutine function."""
    if not callable(function) or iscoroutinefunction(function):
        raise ValueError(f"{name} must be a function, and not a coroutine function")


def positive(number: object, name: str) -> int:
    """Return `number`. Raise ValueError unless it is a whole number from 1 to 2^53 - 1."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= LARGEST_COUNTER:
        raise ValueError(f"{name} must be a positive whole number")
    return number
