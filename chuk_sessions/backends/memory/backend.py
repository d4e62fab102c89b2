"""The emulator as a backend: a keyspace behind a lock, kept bounded by a sweep of its own."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from functools import cache
from threading import Lock
from weakref import WeakSet

from ...core import keys as names
from ...core import operations
from ...core.ids import BUCKETS
from ...core.operation import Call, Reply, RetryCalls
from ...models import Health
from .clock import Clock, SystemClock
from .keyspace import Keyspace
from .strings import Strings
from .turns import Turns
from .twins import TWINS

SWEEP_EVERY_MS = 60_000


class MemoryBackend:
    """Runs the twins on a keyspace of this process. Safe for threads and event loops; operations are atomic.

    Records go when their time comes, read or not. Index entries of ended sessions go with a sweep that an operation
    starts when `sweep_every_ms` have passed since the last one (None: never), so that what nobody asks for any more
    takes no memory.
    """

    name = "memory"

    def __init__(self, clock: Clock | None = None, sweep_every_ms: int | None = SWEEP_EVERY_MS) -> None:
        self.clock = clock or SystemClock()
        self.strings = Strings(self.clock)
        self._space = Keyspace(self.clock)
        self._turns = Turns(self.clock)
        self._due = self._turns.due
        self._lock = Lock()
        self._sweep_every_ms = math.inf if sweep_every_ms is None else sweep_every_ms
        self._next_sweep = self._space.now + self._sweep_every_ms
        _BACKENDS.add(self)

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Run a twin, after other tasks had a turn where they have waited for one. No reply gets lost here."""
        space = self._space
        with self._lock:
            space.tick()
            if space.now < self._due:
                return TWINS[call.operation.name](space, call.keys, call.argv)
            gives_way = self._look_around()
        if gives_way:
            await asyncio.sleep(0)
        with self._lock:
            space.tick()
            return TWINS[call.operation.name](space, call.keys, call.argv)

    async def ping(self) -> Health:
        """Return a healthy state: the emulator is always there."""
        return Health(0.0, self.name, None, "primary")

    async def aclose(self) -> None:
        """Nothing is held open."""

    def snapshot(self) -> dict[str, tuple[dict[bytes, bytes] | list[tuple[bytes, int]], int | None]]:
        """Every key with what it holds and when it goes (ms)."""
        with self._lock:
            self._space.tick()
            return self._space.snapshot()

    def _look_around(self) -> bool:
        """Sweep if it is time. Return whether the caller should give way to other tasks."""
        now = self._space.now
        if now >= self._next_sweep:
            self._sweep_all()
        gives_way = self._turns.is_time(now)
        self._due = self._turns.due
        return gives_way

    def _sweep_all(self) -> None:
        self._next_sweep = self._space.now + self._sweep_every_ms
        for bucket in range(BUCKETS):
            for sandbox in self._twin(operations.due(names.sandboxes(bucket)))[1]:
                self._sweep(names.index(sandbox.decode(), bucket), sandbox.decode())

    def _sweep(self, index: names.IndexKeys, sandbox_id: str) -> None:
        ended: Sequence[bytes] = ()
        while ended := self._twin(operations.sweep(index, sandbox_id, ended))[2]:
            pass

    def _twin(self, call: Call) -> Reply:
        return TWINS[call.operation.name](self._space, call.keys, call.argv)

    def reset_lock(self) -> None:
        """In a forked child: nobody is left to release it if another thread held it."""
        self._lock = Lock()
        self.strings.reset_lock()


_BACKENDS: WeakSet[MemoryBackend] = WeakSet()


def _after_fork() -> None:
    for backend in list(_BACKENDS):
        backend.reset_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def shared() -> MemoryBackend:
    """The one emulator that all managers and factories of this process share."""
    return MemoryBackend()
