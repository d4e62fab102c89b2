"""The figures of a cache."""

from __future__ import annotations

from typing import NamedTuple


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
