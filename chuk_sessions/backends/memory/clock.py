"""Where the emulator takes the time from."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""


class SystemClock:
    """The host's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved: tests pass hours without sleeping."""

    def __init__(self, start_ms: int = 1_750_000_000_000) -> None:
        self._now = start_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._now

    def advance(self, *, hours: float = 0, seconds: float = 0, ms: int = 0) -> None:
        """Move on. Negative amounts move back, as a host's clock may."""
        self._now += round(hours * 3_600_000 + seconds * 1000) + ms
