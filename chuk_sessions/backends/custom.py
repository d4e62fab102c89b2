"""Custom providers: any store with setex, get, and delete, on which the emulator's twins run the operations.

Such a provider has no compare-and-set. Each operation loads the records that it declares into an empty keyspace, runs
the twin, and stores the records that changed. A lock per record makes this atomic within the process. Across processes,
the last write wins. A record and its operation ids are one value, so the store has both or neither. There are no
indexes, so operations that need one raise NotSupportedError. TTLs are rounded up to whole seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

from .. import exceptions as errors
from ..core import index_operations, note_operations
from ..core import keys as names
from ..core.call_hook import CallHook, observed
from ..core.durations import LATEST_MS, MAX_MS
from ..core.operation import Call, Operation, Reply, RetryCalls
from ..core.statuses import OK
from ..core.write_hook import WriteHook
from ..models import Health
from .locks import KeyLocks
from .memory.clock import Clock, SystemClock
from .memory.keyspace import Hash, Keyspace
from .memory.twins import TWINS

_NO_INDEX = "a custom provider has no index: sessions cannot be listed, counted, capped, or revoked by user"
_WITHOUT_INDEX: dict[Operation, Reply] = {index_operations.SWEEP: [OK, 0, [], []], note_operations.NOTE: [OK]}
"""Replies of operations that have nothing to do without an index."""
_RECORDS = ("session", "old", "new", "marker")
_PING_KEY = "chuk1:ping"

_LOCKS = KeyLocks()
"""Shared by all custom backends of the process, because any two may use the same store."""

_WRITE_HOOK = WriteHook()
"""Shared by all custom backends of the process, for the same reason."""


class Stored(NamedTuple):
    """A record, its expiry in ms, and its operation ids with the ms until which each counts."""

    record: Hash
    expiry: int
    operation_ids: dict[bytes, int]


_UNREADABLE = Stored({b"d": b""}, LATEST_MS, {})
"""Stands for a value that is not a session record: operations reply CORRUPT, and a deletion removes it."""


class SimpleStore(Protocol):
    """The methods that a session of a custom provider must have."""

    async def setex(self, key: str, ttl: int, value: str) -> Any:
        """Store a text for `ttl` seconds."""

    async def get(self, key: str) -> Any:
        """Return the text (or bytes), or None."""

    async def delete(self, key: str) -> Any:
        """Remove the text."""


class CustomBackend:
    """A backend that runs twins on the sessions of a factory, which are SimpleStore objects."""

    name = "custom"
    write_hook = _WRITE_HOOK

    def __init__(self, factory: Callable[[], AbstractAsyncContextManager[Any]], clock: Clock | None = None) -> None:
        self._factory = factory
        self._clock = clock or SystemClock()
        self.call_hook = CallHook(self, {"db.system.name": self.name})
        self.call_hook.greet()

    def hook_changed(self) -> None:
        """Do nothing: each call looks at its hook, which is little compared to what a provider does."""

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Load the records, run the twin, and store the records that changed. Nothing is retried.

        Raises:
            NotSupportedError: the operation needs an index.
            SessionUnavailableError: the provider raised an exception.

        """
        try:
            if self.call_hook.counter is not None or self.call_hook.tracer is not None:
                return await observed(self.call_hook, call, partial(self._run, call))
            return await self._run(call)
        finally:
            if self.write_hook.listeners:
                self.write_hook.report(call)

    async def _run(self, call: Call) -> Reply:
        operation, keys, argv = call
        if operation in _WITHOUT_INDEX:
            return [*_WITHOUT_INDEX[operation]]
        if operation.reads_index(argv):
            raise errors.NotSupportedError(_NO_INDEX)
        records = [key for key, name in zip(keys, operation.keys, strict=False) if name in _RECORDS]
        async with AsyncExitStack() as stack:
            for key in sorted(records):
                await stack.enter_async_context(_LOCKS.hold(key))
            store = await stack.enter_async_context(self._open())
            return await self._run_twin(store, records, call)

    async def _run_twin(self, store: SimpleStore, records: Sequence[str], call: Call) -> Reply:
        before = {key: await _load(store, key) for key in records}
        space = Keyspace(self._clock)
        for key, stored in before.items():
            if stored is not None:
                _restore(space, key, stored)
        space.tick()
        reply = TWINS[call.operation.name](space, call.keys, call.argv)
        # The new record of a rotation first: if the provider fails in between, the old one is left.
        for key in reversed(records):
            after = _snapshot(space, key)
            if after != before[key]:
                await _save(store, key, after, space.now)
        return reply

    async def ping(self) -> Health:
        """Read a key that does not exist.

        Raises:
            SessionUnavailableError: the provider raised an exception.

        """
        started = time.perf_counter()
        async with self._open() as store:
            await store.get(_PING_KEY)
        return Health(1000 * (time.perf_counter() - started), self.name)

    async def aclose(self) -> None:
        """Do nothing: the provider closes its sessions itself."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[SimpleStore]:
        try:
            async with self._factory() as store:
                yield store
        except errors.SessionError:
            raise
        except Exception as error:
            raise errors.SessionUnavailableError(f"the custom provider failed: {type(error).__name__}") from error


def _restore(space: Keyspace, key: str, stored: Stored) -> None:
    space.load(key, stored.record, stored.expiry)
    if stored.operation_ids:
        ids = stored.operation_ids
        space.load_set(names.operations_of(key), ids.items(), max(ids.values()))


def _snapshot(space: Keyspace, key: str) -> Stored | None:
    found = space.peek(key)
    ids = space.peek_set(names.operations_of(key))
    return None if found is None else Stored(*found, {name: int(until) for name, until in ids.items()})


async def _load(store: SimpleStore, key: str) -> Stored | None:
    value = await store.get(key)
    if not value:
        return None
    try:
        expiry, fields, *more = json.loads(value)
        record = {name.encode("latin-1"): text.encode("latin-1") for name, text in fields.items()}
        ids = {name.encode("latin-1"): int(until) for name, until in more[0].items()} if more else {}
        return Stored(record, int(expiry), ids)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return _UNREADABLE


async def _save(store: SimpleStore, key: str, stored: Stored | None, now: int) -> None:
    """Store a record, or delete it if it is gone.

    The value is ASCII JSON with bytes as Latin-1 text, which any provider returns unchanged.
    """
    if stored is None:
        await store.delete(key)
        return
    value: list[Any] = [
        stored.expiry,
        {name.decode("latin-1"): text.decode("latin-1") for name, text in stored.record.items()},
    ]
    if stored.operation_ids:
        value.append({name.decode("latin-1"): until for name, until in stored.operation_ids.items()})
    # A session without a deadline expires in the year 9999, which not every provider takes.
    seconds = min(max(1, -((now - stored.expiry) // 1000)), MAX_MS // 1000)
    await store.setex(key, seconds, json.dumps(value, separators=(",", ":")))
