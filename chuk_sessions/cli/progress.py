"""Progress of long work on stderr: how much is done, the rate, and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from .output import say

_SECONDS_WITHOUT_BAR: Final = 1.0
"""Work that takes less time shows no bar."""

_SECONDS_BETWEEN_LINES: Final = 10.0
"""Where stderr is a file, a line is printed this often. Work that takes less time prints none."""


class Progress:
    """The progress of a piece of work: a bar on a terminal, and lines elsewhere.

    Attributes:
        done: how much is done.
        total: how much there is to do; None if it is not known.

    """

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        is_shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a progress. `unit` is the plural of what is counted, such as `sessions`."""
        self.done = 0
        self.total = total
        self._unit = unit
        self._is_shown = is_shown
        self._clock = clock
        self._begun_at = self._printed_at = clock()
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._begun_at = self._printed_at = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, number: int = 1) -> None:
        """Add to what is done."""
        self.done += number
        if self._is_shown:
            self._show(self._clock())

    def figures(self) -> str:
        """Return how much is done, the rate, and the time left, such as `1,200 of 5,000 sessions, 400/s, 10 s left`."""
        elapsed = self._clock() - self._begun_at
        rate = self.done / elapsed if elapsed > 0 else 0.0
        parts = [f"{self.done:,}{'' if self.total is None else f' of {self.total:,}'} {self._unit}"]
        if rate > 0:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            if self.total is not None and self.total > self.done:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)

    def _show(self, now: float) -> None:
        if self._bar is None and sys.stderr.isatty() and now - self._begun_at >= _SECONDS_WITHOUT_BAR:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total, figures="")
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, total=self.total, figures=self.figures())
        elif now - self._printed_at >= _SECONDS_BETWEEN_LINES and not sys.stderr.isatty():
            self._printed_at = now
            say(self.figures())


def _bar() -> Any:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (BarColumn(), TextColumn("{task.fields[figures]}", markup=False))
    return Bar(*columns, console=Console(stderr=True), transient=True)


def duration(seconds: float) -> str:
    """Return a time for people, such as `5 s`, `3 min 20 s`, or `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
