"""What the library hands out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Self

from .enums import SessionStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTIONS = [f".{ms:03d}Z" for ms in range(1000)]


def iso_from_ms(ms: int) -> str:
    """The ISO 8601 text in UTC, ending in Z, of a time in ms since 1970. Raises OverflowError past the year 9999."""
    return _iso_second(ms // 1000) + _FRACTIONS[ms % 1000]


# Sessions are made, used and end in the same few thousand seconds.
@lru_cache(maxsize=4096)
def _iso_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class SessionMetadata:
    """A session as it was when it was read. Changing this object changes nothing in the store.

    Times are ISO 8601 texts in UTC ending in `Z`. `version` counts the changes of metadata and deadline, and is what
    `update_session_metadata(expected_version=...)` compares; it is not part of `to_dict()`.
    """

    session_id: str
    sandbox_id: str
    user_id: str | None = None
    created_at: str | None = None
    expires_at: str | None = None
    status: str = SessionStatus.ACTIVE.value
    last_accessed: str | None = None
    custom_metadata: dict[str, Any] = field(default_factory=dict)
    version: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.created_at is None:
            self.created_at = _iso(_utc_now())
        if self.last_accessed is None:
            self.last_accessed = self.created_at

    def is_expired(self) -> bool:
        """Whether the deadline has passed by this host's clock. The store decides by its own."""
        return self.expires_at is not None and _utc_now() >= _from_iso(self.expires_at)

    def touch(self) -> None:
        """Set `last_accessed` of this object, not of the store, to now."""
        self.last_accessed = _iso(_utc_now())

    def to_dict(self) -> dict[str, Any]:
        """A dict that JSON can carry, with the fields above but `version`."""
        return {
            "session_id": self.session_id,
            "sandbox_id": self.sandbox_id,
            "user_id": self.user_id,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": self.status,
            "last_accessed": self.last_accessed,
            "custom_metadata": dict(self.custom_metadata),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict()`. Unknown keys are passed over. Raises TypeError when a needed key is missing."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _from_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Increment(NamedTuple):
    """The answer to an increment: truthy when it was applied.

    Attributes:
        applied: False when the ceiling kept it out.
        value: the counter's value now.

    """

    applied: bool
    value: int

    def __bool__(self) -> bool:
        return self.applied


@dataclass(frozen=True, slots=True)
class Health:
    """The store as `SessionManager.ping()` found it.

    Attributes:
        latency_ms: how long the store took to answer, in ms; the first time, opening the connection included.
        server: its name, such as `redis` or `valkey`; `memory` for the emulator, `custom` for a custom provider.
        version: of the server; None if it does not say.
        role: `primary` or `replica`; None if it does not say. Of several nodes, `replica` if all are replicas.
        problems: what an operator should see to, one text each. The store answers in spite of them.

    """

    latency_ms: float
    server: str | None = None
    version: str | None = None
    role: str | None = None
    problems: tuple[str, ...] = ()


__all__ = ["Health", "Increment", "SessionMetadata"]
