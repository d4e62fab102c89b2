"""A ledger of what callers were told, session by session. The judge compares it with the store afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from chuk_sessions.models import SessionMetadata

STRIDE = 1_000_000_000
"""Each session counts from a multiple of this number, so that a reply shows which counter it is."""

HOUR_MS = 3_600_000
SIDES = 2
"""How many managers work on each session."""


@dataclass(eq=False)
class Account:
    """An account of one session. The `unconfirmed_` attributes hold writes without an outcome: applied or not.

    Attributes:
        session_id: of the session.
        number: unique to the session; its marker and counter derive from it.
        deadline_ms: the deadline with which it was created, in ms; 0 until it is known.
        added: acknowledged increments.
        notes: the last acknowledged note of each side.
        noted: how many notes were acknowledged.
        hours: acknowledged extensions, an hour each.
        reported_missing: a caller was told that the session does not exist.

    """

    session_id: str
    number: int
    deadline_ms: int = 0
    added: int = 0
    unconfirmed_added: int = 0
    notes: list[int] = field(default_factory=lambda: [0] * SIDES)
    noted: int = 0
    unconfirmed_notes: set[tuple[int, int]] = field(default_factory=set)
    hours: int = 0
    unconfirmed_hours: int = 0
    reported_missing: bool = False

    @property
    def marker(self) -> str:
        """The marker in its metadata, which identifies the session."""
        return marker_of(self.number)

    @property
    def base(self) -> int:
        """The number that its counter started from."""
        return self.number * STRIDE

    @property
    def writes(self) -> int:
        """The number of acknowledged writes, its creation included."""
        return 1 + self.added + self.noted + self.hours

    def lost(self, found: SessionMetadata | None) -> int:
        """Return how many acknowledged writes the stored session lacks."""
        if found is None:
            return self.writes
        fewer = max(0, self.added - self._counted(found)) + max(0, self.hours - self._extended(found))
        return fewer + sum(not self._note_is_known(found, side) for side in range(SIDES)) + self.reported_missing

    def excess(self, found: SessionMetadata | None) -> int:
        """Return how many writes the stored session has that nobody requested, or that were applied twice."""
        if found is None:
            return 0
        more = self._counted(found) - self.added - self.unconfirmed_added
        return max(0, more) + max(0, self._extended(found) - self.hours - self.unconfirmed_hours)

    def _counted(self, found: SessionMetadata) -> int:
        return int(found.custom_metadata["n"]) - self.base

    def _extended(self, found: SessionMetadata) -> int:
        return round((deadline_of(found) - self.deadline_ms) / HOUR_MS) if self.deadline_ms else self.hours

    def _note_is_known(self, found: SessionMetadata, side: int) -> bool:
        note = found.custom_metadata.get(f"note{side}", 0)
        return note == self.notes[side] or (side, note) in self.unconfirmed_notes


@dataclass
class Ledger:
    """All accounts, and what concerns no single one.

    Attributes:
        accounts: sessions that were created and not deleted on purpose.
        invalid_ids: ids that were deleted, revoked or rotated, with acknowledgment.
        churn_writes: acknowledged writes to short-lived sessions.
        missing: short-lived sessions that did not exist when they should have.
        revived: validations of an invalid id that succeeded.
        crossed: replies that belong to another session.
        errors: how often each kind of error was raised.
        unexpected: errors that no call should raise, as text.

    """

    accounts: list[Account] = field(default_factory=list)
    invalid_ids: list[str] = field(default_factory=list)
    churn_writes: int = 0
    missing: int = 0
    revived: int = 0
    crossed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """The number of acknowledged writes."""
        return self.churn_writes + sum(account.writes for account in self.accounts)


def marker_of(number: int) -> str:
    """Return the marker of the session with that number."""
    return f"session {number}"


def deadline_of(found: SessionMetadata) -> int:
    """Return a session's absolute deadline in ms since the epoch."""
    assert found.expires_at is not None
    return round(datetime.fromisoformat(found.expires_at.replace("Z", "+00:00")).timestamp() * 1000)
