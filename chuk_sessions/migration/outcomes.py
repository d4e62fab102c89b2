"""The outcomes of a migration: what happened to each session, and a report that counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

_MOST_PROBLEMS: Final = 1000


class Outcome(StrEnum):
    """The outcomes for one session of a source."""

    ADOPTED = "adopted"
    """It was copied."""
    UPDATED = "updated"
    """It was copied before, and has been brought up to date."""
    PRESENT = "present"
    """It was copied before, and is up to date or has changed in the target."""
    ENDED = "ended"
    """It was copied or blocked before, and has ended in the target: it was deleted, rotated, or evicted."""
    EXPIRED = "expired"
    """It has expired at the source."""
    UNREADABLE = "unreadable"
    """It cannot be read, or cannot be stored in the target."""
    EQUAL = "equal"
    """The copy has the same fields and times."""
    CHANGED = "changed"
    """The copy has changed in the target since."""
    DIFFERENT = "different"
    """The copy differs, though it has not changed in the target since; or another session has the id there."""
    MISSING = "missing"
    """There is no copy."""
    REMOVED = "removed"
    """It was compared, and removed from the source."""
    LEFT = "left"
    """It has changed at the source since it was compared, so it was not removed."""


FINDINGS: Final = (Outcome.UNREADABLE, Outcome.DIFFERENT, Outcome.MISSING, Outcome.LEFT)
"""The outcomes that need attention."""


class Problem(NamedTuple):
    """A session that needs attention: its reference, the outcome, and a reason for people; empty if there is no more
    to say.
    """

    reference: str
    outcome: Outcome
    reason: str


@dataclass
class Report:
    """A report of a migration.

    Attributes:
        counts: how many sessions had each outcome.
        problems: the first 1,000 sessions that need attention.

    """

    counts: Counter[Outcome] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of sessions that were read. A session may count twice if the source was changing."""
        return self.counts.total()

    @property
    def findings(self) -> int:
        """The number of sessions that need attention."""
        return sum(self.counts[outcome] for outcome in FINDINGS)

    def add(self, outcome: Outcome, reference: str, reason: str = "") -> None:
        """Count a session."""
        self.counts[outcome] += 1
        if outcome in FINDINGS and len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(reference, outcome, reason))
