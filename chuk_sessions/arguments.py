"""What developers pass to SessionManager: checked once, with a ValueError that says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import codec, ids
from .allocation import Policy
from .durations import ms_from_seconds
from .enums import WhenFull
from .exceptions import SessionTooLargeError

MAX_SANDBOX_LENGTH = 128
MAX_USER_LENGTH = 512
LARGEST_COUNTER = 2**53 - 1


def policy(
    idle_seconds: float | None,
    interval_seconds: float,
    cap: int | None,
    when_full: WhenFull | str,
    retention: float,
    session_bytes: int,
) -> Policy:
    """A manager's settings, all durations in seconds; None means none."""
    idle_ms = 0 if idle_seconds is None else ms_from_seconds(idle_seconds, "idle_timeout_seconds")
    interval_ms = 0 if interval_seconds == 0 else ms_from_seconds(interval_seconds, "touch_interval_seconds")
    if idle_ms and interval_ms >= idle_ms:
        raise ValueError("touch_interval_seconds must be shorter than idle_timeout_seconds")
    return Policy(
        idle_ms=idle_ms,
        interval_ms=interval_ms,
        retention_ms=0 if retention == 0 else ms_from_seconds(retention, "retention_seconds"),
        session_bytes=positive(session_bytes, "max_session_bytes"),
        cap=0 if cap is None else positive(cap, "max_sessions_per_user"),
        when_full=_choice(when_full),
    )


def _choice(when_full: WhenFull | str) -> WhenFull:
    try:
        return WhenFull(when_full)
    except ValueError:
        raise ValueError(f"when_full must be 'evict' or 'refuse', not {when_full!r}") from None


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
