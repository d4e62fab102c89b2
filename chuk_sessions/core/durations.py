"""Durations as people give them (hours, seconds; fractions too) to whole milliseconds."""

from __future__ import annotations

import math

MAX_MS = 100 * 366 * 24 * 3_600_000
"""About a hundred years: longer durations are taken for mistakes."""


def ms_from_hours(hours: object, what: str) -> int:
    """At least 1 ms. Raises ValueError unless `hours` is a finite positive number of at most a hundred years."""
    return _ms(hours, 3_600_000, what)


def ms_from_seconds(seconds: object, what: str) -> int:
    """The same for seconds."""
    return _ms(seconds, 1000, what)


def _ms(number: object, unit: int, what: str) -> int:
    if type(number) is int and 0 < number <= MAX_MS // unit:
        return number * unit
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"{what} must be a number, not {type(number).__name__}")
    if not 0 < number <= MAX_MS / unit:
        raise ValueError(f"{what} must be positive, finite and at most a hundred years, not {number!r}")
    return max(1, math.ceil(round(number * unit, 6)))
