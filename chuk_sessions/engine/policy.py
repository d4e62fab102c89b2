"""The policy of a manager: settings that apply to all its sessions."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import validation
from ..core.durations import ms_from_seconds
from ..core.event_entries import DEFAULT_CAP
from ..enums import WhenFull


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The settings that a manager applies to all its sessions; times in ms.

    Attributes:
        idle_ms: idle timeout of the sessions that it creates; 0 means none.
        interval_ms: touch interval of its validations; 0 means that every validation touches the session.
        retention_ms: how long records outlive their sessions.
        session_bytes: most bytes of metadata that a session may have.
        cap: most sessions that a user may have; 0 means any number.
        when_full: whether a full cap evicts or refuses.
        events: most events in the stream of a bucket, for sessions that it creates; 0 means that they emit none.
        updates: whether its changes of metadata are events of sessions that emit events.

    """

    idle_ms: int
    interval_ms: int
    retention_ms: int
    session_bytes: int
    cap: int
    when_full: WhenFull
    events: int = 0
    updates: bool = False


def session_policy(
    *,
    idle_timeout_seconds: float | None,
    touch_interval_seconds: float,
    max_sessions_per_user: int | None,
    when_full: WhenFull | str,
    retention_seconds: float,
    max_session_bytes: int,
    events: bool | str = False,
    max_events: int = DEFAULT_CAP,
) -> SessionPolicy:
    """Return the policy for a manager's arguments. Raises ValueError for a malformed one."""
    idle_ms = 0 if idle_timeout_seconds is None else ms_from_seconds(idle_timeout_seconds, "idle_timeout_seconds")
    interval_ms = _ms_or_zero(touch_interval_seconds, "touch_interval_seconds")
    if idle_ms and interval_ms >= idle_ms:
        raise ValueError("touch_interval_seconds must be shorter than idle_timeout_seconds")
    return SessionPolicy(
        idle_ms=idle_ms,
        interval_ms=interval_ms,
        retention_ms=_ms_or_zero(retention_seconds, "retention_seconds"),
        session_bytes=validation.positive(max_session_bytes, "max_session_bytes"),
        cap=0 if max_sessions_per_user is None else validation.positive(max_sessions_per_user, "max_sessions_per_user"),
        when_full=_choice(when_full),
        events=validation.positive(max_events, "max_events") if _emits(events) else 0,
        updates=events == "updates",
    )


def _ms_or_zero(seconds: float, name: str) -> int:
    return 0 if seconds == 0 else ms_from_seconds(seconds, name)


def _emits(events: bool | str) -> bool:
    if events not in (True, False, "updates"):
        raise ValueError(f"events must be True, False or 'updates', not {events!r}")
    return bool(events)


def _choice(when_full: WhenFull | str) -> WhenFull:
    try:
        return WhenFull(when_full)
    except ValueError:
        raise ValueError(f"when_full must be 'evict' or 'refuse', not {when_full!r}") from None
