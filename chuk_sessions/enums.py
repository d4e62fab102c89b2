"""Enumerations: session statuses, providers, modes, the policy of a full cap, and the value of a missing key."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final


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


class AllocateMode(StrEnum):
    """The treatment of a live session whose id is allocated again. Without one, all modes create a session."""

    TOUCH = "touch"
    """Touch it; otherwise it stays as it is."""
    CREATE = "create"
    """Raise SessionExistsError."""
    REPLACE = "replace"
    """Overwrite it, whoever it belongs to."""


class WhenFull(StrEnum):
    """The policy for a new session of a user who already has as many as allowed."""

    EVICT = "evict"
    """Delete the user's oldest sessions to make room."""
    REFUSE = "refuse"
    """Raise SessionLimitError."""


class Absent(Enum):
    """The type of ABSENT, the stand-in for the value of a metadata key that does not exist."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return self.name


ABSENT: Final = Absent.ABSENT
"""The stand-in for the value of a metadata key that does not exist."""


__all__ = ["ABSENT", "Absent", "AllocateMode", "ProviderType", "SessionStatus", "WhenFull"]
