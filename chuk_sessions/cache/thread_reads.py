"""The methods of a synchronous manager with a cache: a hit needs no hop to the background thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core import boot_clock
from ..models import CachedSession, SessionMetadata
from .entry import Entry

if TYPE_CHECKING:
    from .cached_reads import CachedReads

_PAUSE_EVERY, _PAUSE = 0.0005, 0.000001
"""Seconds after which a thread that hits the cache lets go of the interpreter's lock, and for how long. Otherwise the
background thread would get it only every few ms, and could not read reports of changes.
"""

_running_loop = asyncio._get_running_loop
_now = boot_clock.now


class ThreadReads:
    """The reads of a synchronous manager.

    Attributes:
        methods: the methods that the cache replaces.

    """

    def __init__(self, reads: CachedReads, run: Callable[..., Any]) -> None:
        self._reads = reads
        self._run = run
        self._pause_at = 0.0
        self.methods: dict[str, Callable[..., Any]] = {
            method.__name__: method
            for method in (
                self.validate_session, self.load_session, self.get_session_info, self.get_session_metadata,
                self.cached_session,
            )
        }  # fmt: skip

    def validate_session(self, session_id: str, *, fresh: bool = False) -> bool:
        """Return whether the session is alive, and touch it."""
        entry = None if fresh else self._hit(session_id)
        if entry is not None and _now() < entry.validate_until:
            entry.hits += 1
            return True
        alive: bool = self._run(self._reads.validate_session(session_id, fresh=fresh))
        return alive

    def load_session(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None, and touch it."""
        entry = None if fresh else self._hit(session_id)
        if entry is not None and _now() < entry.validate_until:
            entry.hits += 1
            return entry.to_model()
        loaded: SessionMetadata | None = self._run(self._reads.load_session(session_id, fresh=fresh))
        return loaded

    def get_session_metadata(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None."""
        entry = None if fresh else self._hit(session_id)
        if entry is not None:
            entry.hits += 1
            return entry.to_model()
        found: SessionMetadata | None = self._run(self._reads.get_session_metadata(session_id, fresh=fresh))
        return found

    def get_session_info(self, session_id: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """Return the session as a dict, or None."""
        entry = None if fresh else self._hit(session_id)
        if entry is not None:
            entry.hits += 1
            return entry.to_dict()
        found: dict[str, Any] | None = self._run(self._reads.get_session_info(session_id, fresh=fresh))
        return found

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return the session if it is cached."""
        return self._reads.cached_session(session_id)

    def _hit(self, session_id: str) -> Entry | None:
        """Return the entry of a session if it may answer a call of this thread, which runs no event loop."""
        try:
            entry = self._reads.view.get(session_id)
        except TypeError:
            return None
        if entry is None or _running_loop() is not None:
            return None
        now = _now()
        if now >= self._pause_at:
            time.sleep(_PAUSE)
            now = _now()
            self._pause_at = now + _PAUSE_EVERY
        return entry if now < entry.until and now < entry.source.lease_until else None
