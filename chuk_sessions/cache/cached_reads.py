"""The methods of a manager with a cache. The shortest paths are inlined, because calls would take more time.

These paths do not look up the running event loop, because that would take as long as everything else together. An open
gate shows that the loop of the view has just read its sockets, which is sufficient. At a closed gate, each loop uses
its own view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import finalize

from ..core import boot_clock
from ..core import statuses as s
from ..core.figures import REPORTERS, Figure
from ..core.keys import SessionKeys
from ..core.operation import Reply
from ..engine.direct_reads import DirectReads, Found
from ..exceptions import ManagerClosedError
from ..models import CachedSession, SessionMetadata
from .entry import Entry
from .loop_cache import LoopCache
from .stats import UNUSED, Stats, figures_of
from .thread_reads import ThreadReads
from .view import View

if TYPE_CHECKING:
    from .local_cache import LocalCache

_running_loop = asyncio._get_running_loop
_now = boot_clock.now


class _NoView:
    """The view of a manager before its first call."""

    loop = None
    get = MappingProxyType[str, Entry]({}).get


class _ClosedView:
    """The view of a manager that was closed."""

    loop = None

    @staticmethod
    def get(session_id: str) -> Entry | None:
        """Raise ManagerClosedError."""
        raise ManagerClosedError("this SessionManager was closed")


class CachedReads:
    """The reads of one manager, answered from memory where possible.

    Attributes:
        methods: the methods of the manager that the cache replaces.
        view: the view of the event loop that made the last call on a longer path.
        backend: the backend.

    """

    def __init__(self, cache: LocalCache, backend: Any, direct: DirectReads) -> None:
        self.view: View | _NoView | _ClosedView = _NoView()
        self.methods: dict[str, Callable[..., Any]] = {
            method.__name__: method
            for method in (
                self.validate_session, self.load_session, self.get_session_info, self.get_session_metadata,
                self.cached_session,
            )
        }  # fmt: skip
        self.backend = backend
        self._direct = direct
        self._cache = cache
        self._store = cache.store_for(backend)
        self._views: dict[LoopCache, View] = {}
        self._release = finalize(self, _release, cache, backend, self._views)
        REPORTERS.add(self)

    # Methods of SessionManager

    async def validate_session(self, session_id: str, *, fresh: bool = False) -> bool:
        """Return whether the session is alive, and touch it. See `SessionManager`."""
        view = self.view
        try:
            entry = view.get(session_id)
        except TypeError:
            entry = None
        if entry is not None and not fresh:
            now = _now()
            if now < entry.validate_until and (
                now < entry.source.open_until or await _passes(view, entry, access=True)
            ):
                entry.hits += 1
                return True
        return await self._validate(session_id, fresh)

    async def load_session(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None, and touch it. See `SessionManager`."""
        view = self.view
        try:
            entry = view.get(session_id)
        except TypeError:
            entry = None
        if entry is not None and not fresh:
            now = _now()
            if now < entry.validate_until and (
                now < entry.source.open_until or await _passes(view, entry, access=True)
            ):
                entry.hits += 1
                return entry.to_model()
        return await self._load(session_id, fresh)

    async def get_session_metadata(self, session_id: str, *, fresh: bool = False) -> SessionMetadata | None:
        """Return the session, or None. See `SessionManager`."""
        view = self.view
        try:
            entry = view.get(session_id)
        except TypeError:
            entry = None
        if entry is not None and not fresh:
            now = _now()
            if now < entry.until and (now < entry.source.open_until or await _passes(view, entry)):
                entry.hits += 1
                return entry.to_model()
        found = await self._read(session_id, fresh)
        if isinstance(found, Entry):
            return found.to_model()
        record = self._direct.record(found)
        return record.to_model(session_id, self._direct.sandbox_id) if record else None

    async def get_session_info(self, session_id: str, *, fresh: bool = False) -> dict[str, Any] | None:
        """Return the session as a dict, or None. See `SessionManager`."""
        view = self.view
        try:
            entry = view.get(session_id)
        except TypeError:
            entry = None
        if entry is not None and not fresh:
            now = _now()
            if now < entry.until and (now < entry.source.open_until or await _passes(view, entry)):
                entry.hits += 1
                return entry.to_dict()
        found = await self._read(session_id, fresh)
        if isinstance(found, Entry):
            return found.to_dict()
        record = self._direct.record(found)
        return record.to_dict(session_id, self._direct.sandbox_id) if record else None

    def cached_session(self, session_id: str) -> CachedSession | None:
        """Return the session if it is cached. See `SessionManager`."""
        try:
            entry = self.view.get(session_id) or self._own_view().get(session_id)
        except TypeError:
            return None
        if entry is None:
            return None
        now = _now()
        if now < entry.until and now < entry.source.lease_until:
            entry.hits += 1
            return entry.frozen or entry.to_frozen()
        return None

    def methods_for_threads(self, run: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
        """Return the methods of the synchronous manager that the cache replaces. `run` runs a coroutine."""
        return ThreadReads(self, run).methods

    # Longer paths

    async def _validate(self, session_id: str, fresh: bool) -> bool:
        target = self._direct.find(session_id)
        if target is None:
            return False
        view = self._current_view()
        if not fresh and not self._touch_is_due(view, session_id):
            found = await view.find(session_id, target)
            if isinstance(found, Entry) and _now() < found.touch_due(self._direct.interval_ms / 1000):
                return True
            if isinstance(found, list):
                self._drop_older(session_id, target, found)
                if found[0] == s.GONE:
                    return False
        direct = await self._direct.validate(target)
        if direct.reply[0] != s.OK:
            self._store.kill(target.record)
        self._after_access(view, session_id, target, direct)
        return bool(direct.reply[0] == s.OK)

    async def _load(self, session_id: str, fresh: bool) -> SessionMetadata | None:
        target = self._direct.find(session_id)
        if target is None:
            return None
        view = self._current_view()
        if not fresh and not self._touch_is_due(view, session_id):
            found = await view.find(session_id, target)
            if isinstance(found, Entry) and _now() < found.touch_due(self._direct.interval_ms / 1000):
                return found.to_model()
            if isinstance(found, list):
                self._drop_older(session_id, target, found)
                if found[0] == s.GONE:
                    return None
        direct = await self._direct.load(target)
        self._drop_older(session_id, target, direct.reply)
        self._after_access(view, session_id, target, direct)
        record = self._direct.record(direct.reply)
        return record.to_model(session_id, self._direct.sandbox_id) if record else None

    async def _read(self, session_id: str, fresh: bool) -> Entry | Reply:
        target = self._direct.find(session_id)
        if target is None:
            return [s.GONE]
        view = self._current_view()
        if not fresh and (found := await view.find(session_id, target)) is not None:
            if isinstance(found, Entry):
                return found
            self._drop_older(session_id, target, found)
            return await self._direct.follow(target, found)
        direct = await self._direct.read(target)
        self._drop_older(session_id, target, direct.reply)
        if direct.own:
            view.prefetch(session_id, target)
        return direct.reply

    def _touch_is_due(self, view: View, session_id: str) -> bool:
        """Return whether the next access must reach the server in any case."""
        entry = view.get(session_id)
        interval = self._direct.interval_ms
        return not interval or (
            entry is not None and entry.waiters is None and _now() >= entry.touch_due(interval / 1000)
        )

    def _drop_older(self, session_id: str, target: SessionKeys, reply: Reply) -> None:
        """Drop entries that differ from a reply of the server. Later calls must not return an older state than that
        reply.
        """
        if not self._store.has(target.record):
            return
        record = self._direct.record(reply) if reply[0] == s.OK else None
        info = record.to_dict(session_id, self._direct.sandbox_id) if record else {}
        self._store.kill_unless(target.record, info, record.version if record else 0)

    def _after_access(self, view: View, session_id: str, target: SessionKeys, found: Found) -> None:
        """Read a session after an access, because tracked reads do not touch."""
        if found.own and self._direct.interval_ms:
            view.prefetch(session_id, target)
        elif found.own:
            view.admit(session_id)

    def _own_view(self) -> View | _NoView | _ClosedView:
        """Return the view of the running event loop, if it has one."""
        loop = _running_loop()
        return next((view for view in list(self._views.values()) if view.loop is loop), self.view)

    def _current_view(self) -> View:
        """Return the view of the running event loop. Create it on the first call."""
        loop_cache = self._store.current()
        view = self._views.get(loop_cache)
        if view is None:
            view = self._new_view(loop_cache)
        self.view = view
        if not self._release.alive:
            self._views.pop(loop_cache, None)
            loop_cache.remove(view)
            self.view = _ClosedView()
            raise ManagerClosedError("this SessionManager was closed")
        return view

    def _new_view(self, loop_cache: LoopCache) -> View:
        for cache in [cache for cache in list(self._views) if cache.loop.is_closed()]:
            self._views.pop(cache, None)
        direct = self._direct
        view = View(
            loop_cache.loop,
            loop_cache.gate,
            loop_cache.tracked,
            self._cache,
            loop_cache,
            sandbox_id=direct.sandbox_id,
            record=direct.record,
            interval_ms=direct.interval_ms,
        )
        self._views[loop_cache] = view
        loop_cache.add(direct.sandbox_id, view)
        return view

    # State

    def stats(self) -> Stats:
        """Return the figures of this manager. See `Stats`."""
        views, tracked = list(self._views.values()), [cache.tracked for cache in list(self._views)]
        is_tracking = any(one.is_tracking() for one in tracked)
        reasons = [one.why_off for one in tracked] or [UNUSED]
        return Stats(
            cached_sessions=sum(len(view.entries) for view in views),
            hits=sum(view.hits for view in views),
            misses=sum(view.misses for view in views),
            joined=sum(view.joined for view in views),
            invalidations=sum(view.invalidations for view in views),
            flushes=sum(cache.flushes for cache in list(self._views)),
            evictions=sum(view.evictions for view in views),
            tracking=is_tracking,
            why_off=None if is_tracking else reasons[-1],
        )

    def figures(self) -> list[Figure]:
        """Return the figures for telemetry, see `core.figures`."""
        staleness = max((cache.staleness() for cache in list(self._views)), default=0.0)
        return figures_of(self.stats(), staleness, self._cache.max_staleness)

    def close(self) -> None:
        """Drop all entries. Connections are closed with the last manager that uses them."""
        self.view = _ClosedView()
        self._release()


async def _passes(view: View | _NoView | _ClosedView, entry: Entry, *, access: bool = False) -> bool:
    """Wait at the gate of this event loop, and return whether the entry may still answer afterwards."""
    if _now() >= entry.source.lease_until or not isinstance(view, View) or view.loop is not _running_loop():
        return False
    await view.gate.wait()
    now = _now()
    return now < (entry.validate_until if access else entry.until) and now < entry.source.lease_until


def _release(cache: LocalCache, backend: Any, views: dict[LoopCache, View]) -> None:
    for loop_cache, view in list(views.items()):
        loop_cache.remove(view)
        view.flush()
    cache.release(backend)
    views.clear()
