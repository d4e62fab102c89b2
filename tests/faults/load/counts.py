"""What is counted for each fault."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass
class Counts:
    """What was counted.

    Attributes:
        calls: sent to the store.
        writes: acknowledged.
        lost: acknowledged writes that are not there, and sessions that were said not to be there and are.
        missing: sessions among these that are not there at all.
        twice: writes that are there more often than they were called for.
        revived: validations of ended sessions that said they are alive.
        crossed: answers with the marker or the counter of another session.
        unindexed: live sessions that listing does not find.
        late: calls that went on behind their deadline and the slack.
        unknown: calls that ended with OutcomeUnknownError.
        unavailable: with SessionUnavailableError, those for time included.
        full: with StoreFullError.
        other: with any other error.
        seconds: from the fault's end (or, where it does not end, its begin) until all sessions were served again.

    """

    calls: int = 0
    writes: int = 0
    lost: int = 0
    missing: int = 0
    twice: int = 0
    revived: int = 0
    crossed: int = 0
    unindexed: int = 0
    late: int = 0
    unknown: int = 0
    unavailable: int = 0
    full: int = 0
    other: int = 0
    seconds: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Both together; the longer of the seconds."""
        names = [field.name for field in fields(self) if field.name != "seconds"]
        total = type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})
        total.seconds = max(self.seconds, other.seconds)
        return total
