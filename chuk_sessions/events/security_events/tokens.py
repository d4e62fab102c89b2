"""Claims of Security Event Tokens (RFC 8417): `session-revoked` of the Continuous Access Evaluation Profile (CAEP)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from ..session_event import SessionEvent

SESSION_REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"

_INITIATORS: Final = {
    "deleted": "user",
    "revoked": "admin",
    "evicted": "policy",
    "replaced": "user",
    "aborted": "system",
    "expired": "policy",
    "idle": "policy",
}
"""Who has ended a session, as CAEP names it, by the reason of its end."""

DEFAULT_REASONS: Final = ("deleted", "revoked", "evicted", "replaced", "aborted")
"""Reasons for which a receiver hears of the end of a session. It knows the deadline already."""


def check_reasons(reasons: Iterable[str]) -> tuple[str, ...]:
    """Return the reasons of ends. Raises ValueError for an unknown reason."""
    found = tuple(dict.fromkeys([reasons] if isinstance(reasons, str) else reasons))
    if not found or not set(found) <= _INITIATORS.keys():
        raise ValueError(f"reasons must be some of {', '.join(_INITIATORS)}")
    return found


def claims_of(event: SessionEvent, issuer: str, audience: str) -> dict[str, Any]:
    """Return the claims for the end of a session. The id of the event becomes the id of the token."""
    subject: dict[str, Any] = {"format": "complex", "session": {"format": "opaque", "id": event.session_hash}}
    if event.user_id is not None:
        subject["user"] = {"format": "iss_sub", "iss": issuer, "sub": event.user_id}
    details = {
        "event_timestamp": event.occurred_at // 1000,
        "initiating_entity": _INITIATORS[event.reason or "deleted"],
        "reason_admin": {"en": f"the session was {event.reason}"},
    }
    return {
        "iss": issuer,
        "aud": audience,
        "iat": int(time.time()),
        "jti": event.id,
        "sub_id": subject,
        "events": {SESSION_REVOKED: details},
    }
