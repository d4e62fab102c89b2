"""What developers pass to SessionManager: checked once, with a ValueError that says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..exceptions import SessionTooLargeError
from . import codec, ids

MAX_SANDBOX_LENGTH = 128
MAX_USER_LENGTH = 512
LARGEST_COUNTER = 2**53 - 1


def owner(user_id: object) -> bytes:
    """A user id as the store holds it."""
    if not isinstance(user_id, str) or not 0 < len(user_id) <= MAX_USER_LENGTH:
        raise ValueError(f"user_id must be a string of 1 to {MAX_USER_LENGTH} characters")
    return ids.user_bytes(user_id)


def removals(remove: Iterable[str]) -> list[bytes]:
    """Keys to remove, as fields."""
    if isinstance(remove, str):
        raise ValueError("remove must be a list of keys, not one string")
    return [codec.field_of(key) for key in remove]


def check_size(pairs: Sequence[bytes], limit: int) -> None:
    """Refuse metadata that makes a new session too large."""
    size = sum(map(len, pairs))
    if size > limit:
        raise SessionTooLargeError(f"the session would have {size} bytes of metadata; {limit} are allowed")


def check_whole(number: object, what: str) -> None:
    """Refuse what is not a whole number that a double carries exactly."""
    if isinstance(number, bool) or not isinstance(number, int) or abs(number) > LARGEST_COUNTER:
        raise ValueError(f"{what} must be a whole number within ±(2^53 - 1)")


def positive(number: object, what: str) -> int:
    """A whole number from 1 on."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= LARGEST_COUNTER:
        raise ValueError(f"{what} must be a positive whole number")
    return number
