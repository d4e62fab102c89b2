"""The salts of recent sessions, which spare most updates a second attempt."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_MOST: Final = 16_384
"""Sessions whose salts are remembered: about 4 MB."""


class RecentSalts:
    """The salts of recent sessions by the key of the record. Safe for threads.

    A wrong salt does no harm: the store refuses values under it, and replies with the right one.
    """

    def __init__(self) -> None:
        self._salts: dict[str, bytes] = {}

    def get(self, record: str) -> bytes | None:
        """Return the salt that a record had recently, or None."""
        return self._salts.get(record)

    def note(self, record: str, salt: bytes | None) -> None:
        """Remember the salt of a record, if it has one."""
        salts = self._salts
        if not salt or salts.get(record) == salt:
            return
        if len(salts) >= _MOST:
            # Another thread may change the dict in between.
            with suppress(StopIteration, RuntimeError):
                salts.pop(next(iter(salts)), None)
        salts[record] = salt
