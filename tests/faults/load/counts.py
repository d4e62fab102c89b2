"""The counts of each fault."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass
class Counts:
    """Counts of what happened under load.

    Attributes:
        calls: calls sent to the store.
        writes: acknowledged writes.
        lost: acknowledged writes that are missing, and sessions reported as missing that exist.
        missing: sessions among these that do not exist at all.
        twice: writes that were applied more often than requested.
        revived: deleted, revoked or rotated ids that validated.
        crossed: replies with the marker or the counter of another session.
        unindexed: live sessions that a list does not contain.
        late: calls that returned later than their deadline and the slack.
        unknown: calls that raised OutcomeUnknownError.
        unavailable: calls that raised SessionUnavailableError, timeouts included.
        full: calls that raised StoreFullError.
        other: calls that raised any other error.
        revoked: sessions that were revoked while another process had them in its local cache.
        stale: sessions among these that the cache still had later than its bound allows.
        seconds: from the end of the fault (if it does not end, from its start) until all sessions were served again.

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
    revoked: int = 0
    stale: int = 0
    seconds: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Return the sum of both; of the seconds, the longer."""
        names = [field.name for field in fields(self) if field.name != "seconds"]
        total = type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})
        total.seconds = max(self.seconds, other.seconds)
        return total
