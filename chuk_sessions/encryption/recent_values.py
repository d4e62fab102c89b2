"""The decrypted values of recent sessions, so that a session that is read again need not be decrypted again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

Fields = dict[bytes, bytes]
"""Metadata fields with their values, encrypted or not."""

_MOST: Final = 4096
"""Sessions whose values are remembered."""

_LARGEST: Final = 2048
"""Bytes of the encrypted values of a session that may be remembered."""


class RecentValues:
    """The values of recent sessions by their salts, each encrypted and decrypted. Safe for threads.

    Decrypted values are returned only for the exact encrypted values that they came from.
    """

    def __init__(self, open_all: Callable[[bytes, Fields], Fields]) -> None:
        """Create an empty cache. `open_all` decrypts the fields of a session, given with its salt."""
        self._open_all = open_all
        self._sessions: dict[bytes, tuple[Fields, Fields]] = {}

    def opened(self, salt: bytes, stored: Fields) -> Fields:
        """Return fields with their texts. Raises the errors of `open_all`."""
        recent = self._sessions.get(salt)
        if recent is not None and recent[0] == stored:
            return recent[1]
        opened = self._open_all(salt, stored)
        if salt and sum(map(len, stored.values())) <= _LARGEST:
            if len(self._sessions) >= _MOST:
                # Another thread may change the dict in between.
                with suppress(StopIteration, RuntimeError):
                    self._sessions.pop(next(iter(self._sessions)), None)
            self._sessions[salt] = stored, opened
        return opened
