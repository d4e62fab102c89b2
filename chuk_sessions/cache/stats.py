"""The figures of a cache."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..core.figures import Figure

UNUSED: Final = "no session has been read yet"
"""The reason why a cache that nobody has used is off."""

_COUNTERS: Final = ("hits", "misses", "joined", "invalidations", "flushes", "evictions")


class Stats(NamedTuple):
    """The figures of a manager's cache, as `SessionManager.get_cache_stats` returns them.

    Attributes:
        cached_sessions: sessions in memory, in all event loops.
        hits: calls that were answered from memory.
        misses: calls that asked the server.
        joined: calls that waited for the reply to another call's read.
        invalidations: sessions that were dropped because the server reported a change.
        flushes: the number of times that all sessions of a connection were dropped.
        evictions: sessions that were dropped because the cache was full.
        tracking: whether the server reports changes now.
        why_off: the reason why it does not; None if it does.

    """

    cached_sessions: int = 0
    hits: int = 0
    misses: int = 0
    joined: int = 0
    invalidations: int = 0
    flushes: int = 0
    evictions: int = 0
    tracking: bool = False
    why_off: str | None = None


def figures_of(stats: Stats, staleness: float, max_staleness: float) -> list[Figure]:
    """Return the figures of a cache for telemetry.

    `staleness` is the age in seconds that a session from memory can have now, and `max_staleness` its limit.
    """
    return [
        *[Figure(f"cache_{name}", getattr(stats, name)) for name in _COUNTERS],
        Figure("cache_sessions", stats.cached_sessions),
        Figure("cache_managers", int(stats.tracking), ("tracking",)),
        Figure("cache_managers", int(not stats.tracking and stats.why_off != UNUSED), ("off",)),
        Figure("cache_managers", int(stats.why_off == UNUSED), ("unused",)),
        Figure("cache_staleness_seconds", staleness),
        Figure("cache_max_staleness_seconds", max_staleness),
    ]
