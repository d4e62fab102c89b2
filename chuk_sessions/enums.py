"""Enumerations: session statuses, providers, and the policy of a full cap."""

from __future__ import annotations

from enum import StrEnum


class SessionStatus(StrEnum):
    """The status of a session. The store returns only active sessions: all others do not exist for callers."""

    ACTIVE = "active"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    TERMINATED = "terminated"


class ProviderType(StrEnum):
    """The providers that the library includes."""

    MEMORY = "memory"
    REDIS = "redis"


class WhenFull(StrEnum):
    """The policy for a new session of a user who already has as many as allowed."""

    EVICT = "evict"
    """Delete the user's oldest sessions to make room."""
    REFUSE = "refuse"
    """Raise SessionLimitError."""


__all__ = ["ProviderType", "SessionStatus", "WhenFull"]
