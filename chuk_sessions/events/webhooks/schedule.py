"""The schedule of attempts: ten in about three days."""

from __future__ import annotations

import random
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_SECOND, _MINUTE, _HOUR = 1000, 60_000, 3_600_000

DELAYS_MS: Final = (
    5 * _SECOND, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 20 * _HOUR,
)  # fmt: skip
"""Delays after the first to the ninth failure, before jitter."""

ATTEMPTS: Final = len(DELAYS_MS) + 1

JITTER: Final = 0.1
"""The most by which a delay is shorter or longer, as a part of it. It spreads the retries after an outage."""

LONGEST_RETRY_AFTER_MS: Final = 24 * _HOUR
"""The longest delay that an endpoint may ask for."""


def delay_ms(failures: int, retry_after_ms: int | None = None) -> int | None:
    """Return the ms from the given number of failures to the next attempt; None after the last attempt.

    An endpoint can request a longer delay, but not a shorter one.
    """
    if failures >= ATTEMPTS:
        return None
    planned = round(DELAYS_MS[failures - 1] * random.uniform(1 - JITTER, 1 + JITTER))
    return max(planned, min(retry_after_ms or 0, LONGEST_RETRY_AFTER_MS))


def retry_after_ms(header: str | None) -> int | None:
    """Return the ms that a Retry-After header asks to wait: a number of seconds, or a date. None for anything else."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return min(int(header[:12]) * _SECOND, LONGEST_RETRY_AFTER_MS)
    try:
        date = parsedate_to_datetime(header)
        # Old forms of dates name no zone. HTTP has only one.
        date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
        return max(0, round((date.timestamp() - time.time()) * _SECOND))
    except (ValueError, OverflowError):
        return None
