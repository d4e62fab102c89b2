"""Clocks of the emulator: the host's, and one for tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of the time."""

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""


class SystemClock:
    """The host's clock."""

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when a test moves it, so that hours pass without sleeping."""

    def __init__(self, start_ms: int = 1_750_000_000_000) -> None:
        self._now = start_ms

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        return self._now

    def advance(self, *, hours: float = 0, seconds: float = 0, ms: int = 0) -> None:
        """Move the clock. Negative amounts move it back, which may happen to a host's clock, too."""
        self._now += round(hours * 3_600_000 + seconds * 1000) + ms
