"""The reads of managers whose provider does not need or support a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import operations
from ..core import statuses as s
from ..core.tracking import ImmediateBackend
from ..engine.direct_reads import DirectReads
from ..models import CachedSession
from .entry import frozen
from .stats import Stats


class UncachedReads:
    """The reads of a manager without a cache.

    Attributes:
        methods: the methods of the manager that the cache replaces.

    """

    def __init__(self, why_off: str) -> None:
        self._why_off = why_off
        self.methods: dict[str, Callable[..., Any]] = {}

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return None: no session is cached."""
        return None

    def methods_for_threads(self, run: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
        """Return the methods of the synchronous manager that the cache replaces."""
        return {}

    def stats(self) -> Stats:
        """Return the reason why there is no cache."""
        return Stats(why_off=self._why_off)

    def close(self) -> None:
        """Do nothing: nothing is open."""


class ImmediateReads(UncachedReads):
    """The reads of a manager on the emulator, which is in the same process. They are never stale."""

    def __init__(self, backend: ImmediateBackend, direct: DirectReads) -> None:
        super().__init__("the emulator needs no cache")
        self._backend = backend
        self._direct = direct

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return the session, or None."""
        target = self._direct.find(session_id)
        reply = [s.GONE] if target is None else self._backend.peek(operations.read(target))
        record = self._direct.record(reply)
        if record is None:
            return None
        return frozen(record.to_dict(session_id, self._direct.sandbox_id), record.version, record.adopted)

    def stats(self) -> Stats:
        """Return figures that say that sessions are never stale."""
        return Stats(tracking=True)
