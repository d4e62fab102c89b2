"""The policy of a manager: what holds for all its sessions."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import validation
from ..core.durations import ms_from_seconds
from ..enums import WhenFull


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What a manager has settled for all its sessions; times in ms.

    Attributes:
        idle_ms: idle timeout of the sessions it makes; 0 means none.
        interval_ms: touch interval of its validations; 0 means that every validation marks the access.
        retention_ms: how long records outlive their sessions.
        session_bytes: most bytes of metadata that a session may have.
        cap: sessions that a user may have; 0 means any number.
        when_full: what a full cap does.

    """

    idle_ms: int
    interval_ms: int
    retention_ms: int
    session_bytes: int
    cap: int
    when_full: WhenFull


def session_policy(
    idle_seconds: float | None,
    interval_seconds: float,
    cap: int | None,
    when_full: WhenFull | str,
    retention: float,
    session_bytes: int,
) -> SessionPolicy:
    """A manager's settings, all durations in seconds; None means none."""
    idle_ms = 0 if idle_seconds is None else ms_from_seconds(idle_seconds, "idle_timeout_seconds")
    interval_ms = 0 if interval_seconds == 0 else ms_from_seconds(interval_seconds, "touch_interval_seconds")
    if idle_ms and interval_ms >= idle_ms:
        raise ValueError("touch_interval_seconds must be shorter than idle_timeout_seconds")
    return SessionPolicy(
        idle_ms=idle_ms,
        interval_ms=interval_ms,
        retention_ms=0 if retention == 0 else ms_from_seconds(retention, "retention_seconds"),
        session_bytes=validation.positive(session_bytes, "max_session_bytes"),
        cap=0 if cap is None else validation.positive(cap, "max_sessions_per_user"),
        when_full=_choice(when_full),
    )


def _choice(when_full: WhenFull | str) -> WhenFull:
    try:
        return WhenFull(when_full)
    except ValueError:
        raise ValueError(f"when_full must be 'evict' or 'refuse', not {when_full!r}") from None
