"""Objects that the library returns to its callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self

from .enums import SessionStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTIONS = [f".{ms:03d}Z" for ms in range(1000)]


class ValueEncryption(Protocol):
    """The part of `chuk_sessions.encryption.Encryption` that managers use."""

    def codec(self, sandbox_id: str, /) -> Any:
        """Return the value codec for a sandbox."""


def iso_from_ms(ms: int) -> str:
    """Return a time in ms since 1970 as ISO 8601 text in UTC, with a final `Z`.

    Raises:
        OverflowError: it is after the year 9999.

    """
    return _iso_second(ms // 1000) + _FRACTIONS[ms % 1000]


# The times of all current sessions are within a few thousand different seconds.
@lru_cache(maxsize=4096)
def _iso_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class SessionMetadata:
    """A session at the time when it was read. Changes of this object do not change the store.

    Times are ISO 8601 texts in UTC with a final `Z`. `expires_at` is the absolute deadline. `version` counts the
    changes of metadata and deadline. `update_session_metadata(expected_version=...)` compares it, and `to_dict()`
    leaves it out, like `adopted`: whether the session still has the id that another store gave it, see
    `chuk_sessions.migration`.
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
    adopted: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.created_at is None:
            self.created_at = _iso(_utc_now())
        if self.last_accessed is None:
            self.last_accessed = self.created_at

    def is_expired(self) -> bool:
        """Return whether the deadline has passed by this host's clock. The store decides by its own clock."""
        return self.expires_at is not None and _utc_now() >= _from_iso(self.expires_at)

    def touch(self) -> None:
        """Set `last_accessed` of this object to now. The store does not change."""
        self.last_accessed = _iso(_utc_now())

    def to_dict(self) -> dict[str, Any]:
        """Return all fields except `version` and `adopted` as a dict that JSON can represent."""
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
        """Create an object from the result of `to_dict()`. Unknown keys are ignored.

        Raises:
            TypeError: a required key is missing.

        """
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True, slots=True)
class CachedSession:
    """A session in the local cache. Callers share the object, so it is immutable.

    Attributes:
        session_id, sandbox_id, user_id, created_at, expires_at, last_accessed, status, version, adopted: as in
            SessionMetadata.
        custom_metadata: a read-only mapping, with tuples instead of lists.

    """

    session_id: str
    sandbox_id: str
    user_id: str | None
    created_at: str
    expires_at: str
    last_accessed: str
    custom_metadata: Mapping[str, Any]
    status: str
    version: int
    adopted: bool


class SessionCache(Protocol):
    """The type of the argument `local_cache` of SessionManager: a LocalCache."""

    def open(self, backend: Any, direct: Any) -> Any:
        """Return the cached reads of a manager on a backend, given its reads from the store."""


class SessionMigration(Protocol):
    """The type of the argument `migration` of SessionManager: a ReadThrough."""

    def open(self, executor: Any, policy: Any, /) -> Any:
        """Return functions by the names of the methods. Each takes the method and returns what replaces it."""


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A session in a list, at the time when it was read.

    The store does not know the ids of sessions, so lists have references. A reference identifies the session for
    `SessionManager.revoke_session`, and grants no access to it: it may appear on pages and in logs.

    Attributes:
        reference: 24 characters; equal to `session_hash()` of the session's id.
        user_id: its user, or None.
        created_at, expires_at, last_accessed: ISO 8601 texts in UTC with a final `Z`. `expires_at` is the deadline.
        custom_metadata: its metadata.
        version: a counter of the changes of metadata and deadline.

    """

    reference: str
    user_id: str | None
    created_at: str
    expires_at: str
    last_accessed: str
    custom_metadata: dict[str, Any]
    version: int


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _from_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Increment(NamedTuple):
    """The result of an increment. It is true if the increment was applied.

    Attributes:
        applied: False if the ceiling prevented it.
        value: the current value of the counter.

    """

    applied: bool
    value: int

    def __bool__(self) -> bool:
        return self.applied


class Transformed(NamedTuple):
    """The result of a transform.

    Attributes:
        value: the new value; ABSENT if the key was removed.
        attempts: how often the function was called: once, and again after each conflict with another change. 0 if the
            transform had been applied before, by a call with the same idempotency key.

    """

    value: Any
    attempts: int


class RateLimit(NamedTuple):
    """The result of a request to a rate limit. It is true if the request was allowed. Times are in seconds.

    Attributes:
        allowed: whether the request was counted; a refused one changes nothing.
        remaining: how many more requests would be allowed now.
        retry_after: time until the same request would be allowed; 0 if it was.
        reset_after: time until a whole burst would be allowed again.

    """

    allowed: bool
    remaining: int
    retry_after: float
    reset_after: float

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class ListedGrant:
    """A grant in the list of a session's grants.

    Attributes:
        jti: the id of the grant, which `SessionManager.revoke_grant` takes.
        audience: the sandbox that may use it.
        path: the path that it covers, relative to the session; empty for all.
        actions: the actions that it allows.
        expires_at: ISO 8601 text in UTC with a final `Z`.

    """

    jti: str
    audience: str
    path: str
    actions: tuple[str, ...]
    expires_at: str


@dataclass(frozen=True, slots=True)
class ResolvedGrant:
    """A grant that counts now, as `SessionManager.resolve_grant` returns it to the sandbox that may use it.

    Attributes:
        sandbox_id: the sandbox with the session.
        session_hash: the reference that the session had when the grant was given.
        user_id: the session's user, or None.
        path: the path that the grant covers, relative to the session; empty for all.
        actions: the actions that it allows.
        expires_at: when the grant or, if that is earlier, the session expires; ISO 8601 text in UTC with a final `Z`.

    """

    sandbox_id: str
    session_hash: str
    user_id: str | None
    path: str
    actions: tuple[str, ...]
    expires_at: str


class SessionFederation(Protocol):
    """The type of the argument `federation` of SessionManager: a `chuk_sessions.federation.Federation`."""

    def open(self, sandbox_id: str, executor_of: Any, session_bytes: int, /) -> Any:
        """Return what gives and resolves the grants of a manager, given its sandbox, a function that returns the
        executor for a sandbox, and the most bytes of a session.
        """


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the store, as `SessionManager.ping()` returns it.

    Attributes:
        latency_ms: time until the store replied, ms. The first time, this includes opening the connection.
        server: its name, such as `redis` or `valkey`; `memory` for the emulator, `custom` for a custom provider.
        version: the server's version; None if it is unknown.
        role: `primary` or `replica`; None if it is unknown. Of several nodes, `replica` if all are replicas.
        problems: conditions that an operator should correct, one text each. The store replies in spite of them.

    """

    latency_ms: float
    server: str | None = None
    version: str | None = None
    role: str | None = None
    problems: tuple[str, ...] = ()


__all__ = [
    "CachedSession", "Health", "Increment", "ListedGrant", "ListedSession", "RateLimit", "ResolvedGrant",
    "SessionCache", "SessionFederation", "SessionMetadata", "SessionMigration", "Transformed",
]  # fmt: skip
