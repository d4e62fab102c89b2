"""The entries of one cache on one backend, in all event loops of this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from threading import RLock
from typing import Any
from weakref import WeakMethod, WeakSet, finalize

from ..core import boot_clock
from ..core.operation import Call
from ..core.tracking import TrackingBackend
from ..core.write_hook import Listener, WriteHook
from ..exceptions import ManagerClosedError
from .loop_cache import LoopCache, sandbox_of
from .view import Limits, View

_ACCESSES = ("validate", "load")
_CLOCK_TOLERANCE = 0.002
"""Seconds by which a touch may be due earlier than an entry says, because servers count whole ms."""


class Store:
    """The parts of a cache that belong to event loops, and the listener to the writes of this process."""

    def __init__(self, backend: Any, limits: Limits) -> None:
        self._backend: TrackingBackend = backend
        self._limits = limits
        self._loops: dict[asyncio.AbstractEventLoop, LoopCache] = {}
        self._lock = RLock()
        self._closed = False
        hook: WriteHook = backend.write_hook
        # The hook outlives the store, which must not be kept alive by it.
        self._stop_listening = finalize(self, hook.add(_weakly(WeakMethod(self.on_write))))
        _STORES.add(self)

    def current(self) -> LoopCache:
        """Return the part of the running event loop. Create it on the first call. Raises ManagerClosedError."""
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        return self._new_part(loop) if found is None else found

    def _new_part(self, loop: asyncio.AbstractEventLoop) -> LoopCache:
        # A part that another thread overwrites here would not hear of the writes in other loops.
        with self._lock:
            if self._closed:
                raise ManagerClosedError("this SessionManager was closed")
            part = LoopCache(self._backend, self._limits, self.views_of)
            self._loops = {one: cache for one, cache in self._loops.items() if not one.is_closed()} | {loop: part}
            return part

    def loop_caches(self) -> list[LoopCache]:
        """Return the parts of all event loops that are not closed."""
        return [cache for loop, cache in list(self._loops.items()) if not loop.is_closed()]

    def views_of(self, sandbox_id: str) -> Iterator[View]:
        """Return the views of a sandbox in all event loops."""
        for cache in list(self._loops.values()):
            yield from cache.views_of(sandbox_id)

    def on_write(self, records: tuple[str, ...], call: Call) -> None:
        """Kill the entries of records that a call of this process may have changed, in all event loops. LIVE and
        PENDING: the read of a PENDING entry may have come before the write.
        """
        access = call.operation.name in _ACCESSES
        for record in records:
            for view in self.views_of(sandbox_of(record)):
                if not (access and _is_untouched(view, record, call)):
                    view.kill(record)

    def kill(self, record: str) -> None:
        """Kill the entries of a record in all event loops, because a newer state was seen."""
        for view in self.views_of(sandbox_of(record)):
            view.kill(record)

    def has(self, record: str) -> bool:
        """Return whether there is an entry of a record."""
        return any(view.entry_of(record) is not None for view in self.views_of(sandbox_of(record)))

    def kill_unless(self, record: str, info: dict[str, Any], version: int) -> None:
        """Kill the entries of a record that do not hold this state: older ones, and those that are PENDING."""
        for view in self.views_of(sandbox_of(record)):
            entry = view.entry_of(record)
            if entry is not None and (entry.waiters is not None or entry.version != version or entry.info != info):
                view.kill(record)

    def close(self) -> None:
        """Close all tracked connections, and stop listening to writes."""
        self._stop_listening()
        with self._lock:
            self._closed = True
            loops, self._loops = self._loops, {}
        for loop, cache in loops.items():
            with suppress(RuntimeError):  # The loop was closed in the meantime.
                if loop.is_closed() or loop is _running_loop():
                    cache.tracked.close()
                else:
                    loop.call_soon_threadsafe(cache.tracked.close)

    def abandon_after_fork(self) -> None:
        """Forget all entries and connections in a forked child, because they belong to the parent. Another thread of
        the parent may have held a lock.
        """
        self._lock = RLock()
        for cache in self._loops.values():
            _OF_PARENTS.append((cache, cache.abandon()))
        self._loops = {}


def _is_untouched(view: View, record: str, call: Call) -> bool:
    """Return whether an access has left the record as the view has it, because the touch interval is not over."""
    entry = view.entry_of(record)
    if entry is None or entry.waiters is not None:
        return False
    interval = call.argv[0] if call.argv else 0
    assert isinstance(interval, int)
    return boot_clock.now() + _CLOCK_TOLERANCE < entry.touch_due(interval / 1000)


def _weakly(method: WeakMethod[Any]) -> Listener:
    def listener(records: tuple[str, ...], call: Call) -> None:
        on_write = method()
        if on_write is not None:
            on_write(records, call)

    return listener


_running_loop = asyncio._get_running_loop
_STORES: WeakSet[Store] = WeakSet()
_OF_PARENTS: list[object] = []
"""Connections that forked children keep, so that nothing in them is collected and closed."""


def _after_fork() -> None:
    for store in list(_STORES):
        store.abandon_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
