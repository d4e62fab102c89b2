"""The emulator as a backend: a keyspace with a lock, which sweeps its own indexes so that it stays bounded."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from functools import cache, partial
from threading import Lock
from weakref import WeakSet

from ...core import expired, index_operations, note_operations
from ...core import keys as names
from ...core.call_hook import CallHook, observed
from ...core.ids import BUCKETS
from ...core.operation import Call, Reply, RetryCalls
from ...core.write_hook import WriteHook
from ...models import Health
from .clock import Clock, SystemClock
from .keyspace import Keyspace, Snapshot
from .strings import Strings
from .turns import Turns
from .twins import TWINS

SWEEP_INTERVAL_MS = 60_000


class EmulatedServer:
    """The single values of an emulator, which the provider API stores. See `KeyServer`."""

    name = "memory"
    slots = "all"

    def __init__(self, strings: Strings) -> None:
        self._strings = strings

    async def scan(self, prefix: str, cursor: str, limit: int) -> tuple[list[str], str]:
        """Return a page of the keys in their order. The cursor is the last key of the page before."""
        found = self._strings.page(prefix, cursor, limit)
        return found, found[-1] if len(found) == limit else ""


class MemoryBackend:
    """A backend that runs the twins on a keyspace of this process.

    It is safe for threads and event loops, and its operations are atomic. Records are removed when they expire, read or
    not. Index entries of expired sessions are removed by a sweep, so that abandoned sessions take no memory. An
    operation starts a sweep when `sweep_interval_ms` have passed since the last one (None: never).
    """

    name = "memory"

    def __init__(self, clock: Clock | None = None, sweep_interval_ms: int | None = SWEEP_INTERVAL_MS) -> None:
        self.clock = clock or SystemClock()
        self.strings = Strings(self.clock)
        self._space = Keyspace(self.clock)
        self._turns = Turns(self.clock)
        self._due = self._turns.due
        self._lock = Lock()
        self.write_hook = WriteHook(self._listeners_changed)
        self.call_hook = CallHook(self, {"db.system.name": self.name})
        self._sweep_interval_ms = math.inf if sweep_interval_ms is None else sweep_interval_ms
        self._next_sweep = self._space.now + self._sweep_interval_ms
        _BACKENDS.add(self)
        self.call_hook.greet()

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Run a twin. From time to time, give way to other tasks first. `retry_calls` is unused: no reply gets lost."""
        space = self._space
        with self._lock:
            space.tick()
            if space.now < self._due:
                return TWINS[call.operation.name](space, call.keys, call.argv)
        if self.call_hook.counter is not None or self.call_hook.tracer is not None:
            return await observed(self.call_hook, call, partial(self._run_with_due_tasks, call))
        return await self._run_with_due_tasks(call)

    def peek(self, call: Call) -> Reply:
        """Run an operation that only reads, without giving way to other tasks."""
        with self._lock:
            self._space.tick()
            return self._run_twin(call)

    async def key_servers(self) -> Sequence[EmulatedServer]:
        """Return the emulator, with its single values. See `ScansKeys`."""
        return [EmulatedServer(self.strings)]

    async def ping(self) -> Health:
        """Return a healthy state: the emulator is always available."""
        return Health(0.0, self.name, None, "primary")

    async def aclose(self) -> None:
        """Do nothing: the emulator holds nothing open."""

    def snapshot(self) -> Snapshot:
        """Return the value and the expiry (ms) of every key."""
        with self._lock:
            self._space.tick()
            return self._space.snapshot()

    async def _run_with_due_tasks(self, call: Call) -> Reply:
        try:
            with self._lock:
                gives_way = self._run_due_tasks()
            if gives_way:
                await asyncio.sleep(0)
            with self._lock:
                self._space.tick()
                return self._run_twin(call)
        finally:
            self.write_hook.report(call)

    def _run_due_tasks(self) -> bool:
        """Sweep if it is time. Return whether the caller should give way to other tasks."""
        now = self._space.now
        if now >= self._next_sweep:
            self._sweep_all()
        gives_way = now >= self._turns.due and self._turns.is_time(now)
        self._set_due()
        return gives_way

    def _set_due(self) -> None:
        # With listeners or telemetry, every call has a task that is due. Without them, calls need not check.
        hook = self.call_hook
        is_observed = self.write_hook.listeners or hook.counter is not None or hook.tracer is not None
        self._due = 0 if is_observed else self._turns.due

    def hook_changed(self) -> None:
        """Let every call look at its hook, or none."""
        self._listeners_changed()

    def _listeners_changed(self) -> None:
        with self._lock:
            self._set_due()

    def _sweep_all(self) -> None:
        self._next_sweep = self._space.now + self._sweep_interval_ms
        for bucket in range(BUCKETS):
            for sandbox in self._run_twin(index_operations.due(names.sandboxes(bucket)))[1]:
                self._sweep(names.index(sandbox.decode(), bucket), sandbox.decode())
        # Notes after all sessions: only a bucket without sessions of the user needs no note.
        for bucket in range(BUCKETS):
            for entry in self._run_twin(index_operations.due(names.noted(bucket)))[1]:
                if noted := note_operations.parse_noted(entry):
                    self._clean_notes(bucket, *noted)

    def _clean_notes(self, home: int, sandbox_id: str, user: str) -> None:
        index = names.index(sandbox_id, home)
        old = note_operations.old_of(self._run_twin(note_operations.notes(index, user)))
        finds = {note: index_operations.find(names.index(sandbox_id, note[0]), int(user), 1) for note in old}
        empty = [note for note, find in finds.items() if not self._run_twin(find)[1]]
        self._run_twin(note_operations.forget(index, sandbox_id, user, empty))

    def _sweep(self, index: names.IndexKeys, sandbox_id: str) -> None:
        call = index_operations.sweep(index, sandbox_id)
        while found := expired.listed(self._run_twin(call)):
            call = expired.removal(index, sandbox_id, found)

    def _run_twin(self, call: Call) -> Reply:
        return TWINS[call.operation.name](self._space, call.keys, call.argv)

    def reset_lock(self) -> None:
        """Replace the lock in a forked child, where no thread is left to release it."""
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
    """Return the emulator that all managers and factories of this process share."""
    return MemoryBackend()
