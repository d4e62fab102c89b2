"""Closed sets of words."""

from __future__ import annotations

from enum import StrEnum


class SessionStatus(StrEnum):
    """Where a session stands. What the store returns is always active: an ended session is not returned at all."""

    ACTIVE = "active"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    TERMINATED = "terminated"


class ProviderType(StrEnum):
    """The providers that come with the library."""

    MEMORY = "memory"
    REDIS = "redis"


class WhenFull(StrEnum):
    """What happens when a user who has as many sessions as allowed asks for one more."""

    EVICT = "evict"
    REFUSE = "refuse"


__all__ = ["ProviderType", "SessionStatus", "WhenFull"]
