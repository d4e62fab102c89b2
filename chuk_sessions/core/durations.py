"""Durations: hours or seconds, as callers give them, in whole milliseconds."""

from __future__ import annotations

import math
from typing import Final

MAX_MS = 100 * 366 * 24 * 3_600_000
"""About a hundred years, in ms. Longer durations are refused as mistakes."""

LATEST_MS: Final = 253_402_300_799_999
"""The latest deadline allowed, in ms: the last of the year 9999, where ISO 8601 dates with four digits end."""


def ms_from_hours(hours: object, name: str) -> int:
    """Return hours in ms, at least 1. Fractions are allowed, and `name` stands for the argument in error messages.

    Raises:
        ValueError: `hours` is not a finite positive number of at most a hundred years.

    """
    return _ms(hours, 3_600_000, name)


def ttl_from_hours(hours: object, name: str) -> int:
    """Return hours until a deadline in ms, at least 1. Infinity becomes LATEST_MS, which leads to the latest deadline.

    Raises:
        ValueError: `hours` is neither infinite nor a positive number of at most a hundred years.

    """
    return LATEST_MS if hours == math.inf else ms_from_hours(hours, name)


def ms_from_seconds(seconds: object, name: str) -> int:
    """Return seconds in ms, at least 1. Fractions are allowed, and `name` stands for the argument in error messages.

    Raises:
        ValueError: `seconds` is not a finite positive number of at most a hundred years.

    """
    return _ms(seconds, 1000, name)


def _ms(number: object, unit: int, name: str) -> int:
    if type(number) is int and 0 < number <= MAX_MS // unit:
        return number * unit
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"{name} must be a number, not {type(number).__name__}")
    if not 0 < number <= MAX_MS / unit:
        raise ValueError(f"{name} must be positive, finite, and at most a hundred years, not {number!r}")
    return max(1, math.ceil(round(number * unit, 6)))
