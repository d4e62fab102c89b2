"""What callers were told, session by session: the books that a store is judged by afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chuk_sessions.models import SessionMetadata

STRIDE = 1_000_000_000
"""Each session counts from a multiple of this on, so that an answer shows whose counter it is."""

HOUR_MS = 3_600_000
SIDES = 2
"""How many managers work on each session."""


@dataclass(eq=False)
class Account:
    """One session. What is `perhaps_` was called for without an answer, so it may have been applied.

    Attributes:
        session_id: of the session.
        number: its own, on which marker and counter rest.
        ends_ms: the deadline that it was made with; 0 until it is known.
        added: acknowledged increments.
        notes: the last acknowledged note of each side.
        noted: how many notes were acknowledged.
        hours: acknowledged extensions.
        missed: somebody was told that it is not there.

    """

    session_id: str
    number: int
    ends_ms: int = 0
    added: int = 0
    perhaps_added: int = 0
    notes: list[int] = field(default_factory=lambda: [0] * SIDES)
    noted: int = 0
    perhaps_notes: set[tuple[int, int]] = field(default_factory=set)
    hours: int = 0
    perhaps_hours: int = 0
    missed: bool = False

    @property
    def marker(self) -> str:
        """What its metadata says it is."""
        return marker_of(self.number)

    @property
    def base(self) -> int:
        """What its counter started from."""
        return self.number * STRIDE

    @property
    def writes(self) -> int:
        """All that was acknowledged."""
        return 1 + self.added + self.noted + self.hours

    def lost(self, found: SessionMetadata | None) -> int:
        """How much of what was acknowledged is not there."""
        if found is None:
            return self.writes
        fewer = max(0, self.added - self._counted(found)) + max(0, self.hours - self._extended(found))
        return fewer + sum(not self._may_say(found, side) for side in range(SIDES)) + self.missed

    def excess(self, found: SessionMetadata | None) -> int:
        """How much is there that nobody called for, or that was called for once and applied twice."""
        if found is None:
            return 0
        more = self._counted(found) - self.added - self.perhaps_added
        return max(0, more) + max(0, self._extended(found) - self.hours - self.perhaps_hours)

    def _counted(self, found: SessionMetadata) -> int:
        return int(found.custom_metadata["n"]) - self.base

    def _extended(self, found: SessionMetadata) -> int:
        return round((ends_ms(found) - self.ends_ms) / HOUR_MS) if self.ends_ms else self.hours

    def _may_say(self, found: SessionMetadata, side: int) -> bool:
        note = found.custom_metadata.get(f"note{side}", 0)
        return note == self.notes[side] or (side, note) in self.perhaps_notes


@dataclass
class Ledger:
    """All of the books.

    Attributes:
        accounts: sessions that were made and not ended on purpose.
        dead: ids whose end was acknowledged: deleted, revoked or replaced.
        lives: writes acknowledged to sessions that came and went.
        missing: sessions of that kind that were not there when they should have been.
        revived: validations of such an id that said it is alive.
        crossed: answers that belong to another session.
        errors: how often each kind of error was raised.
        odd: errors that nothing was expected to raise, as text.

    """

    accounts: list[Account] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    lives: int = 0
    missing: int = 0
    revived: int = 0
    crossed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """How many writes were acknowledged."""
        return self.lives + sum(account.writes for account in self.accounts)


def marker_of(number: int) -> str:
    """The marker of the session of that number."""
    return f"session {number}"


def ends_ms(found: SessionMetadata) -> int:
    """A session's deadline."""
    from datetime import datetime

    assert found.expires_at is not None
    return round(datetime.fromisoformat(found.expires_at.replace("Z", "+00:00")).timestamp() * 1000)
