"""Providers of other people's making: anything with setex, get and delete, run through the emulator's twins.

Such a provider has no compare-and-set. Each operation loads the records it declares into an empty keyspace, runs the
twin, and stores what changed; a lock per record makes that atomic within this process. Across processes the last write
wins. A record and its operation ids are one value, so that the store holds both or neither. There are no indexes, so
what needs one is a NotSupportedError. TTLs are rounded up to whole seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from .. import exceptions as errors
from ..core import keys as names
from ..core import operations
from ..core.operation import Call, Reply, RetryCalls
from ..core.statuses import OK
from ..models import Health
from .locks import KeyLocks
from .memory.clock import Clock, SystemClock
from .memory.keyspace import Hash, Keyspace
from .memory.twins import TWINS

_NO_INDEX = "a custom provider keeps no index: sessions cannot be listed, counted, capped or revoked by user"
_RECORDS = ("session", "old", "new")
_PING_KEY = "chuk1:ping"

_LOCKS = KeyLocks()
"""For all custom backends of the process: any two may work on the same store."""


class Stored(NamedTuple):
    """A record, when it goes (ms), and until when its operation ids count (ms)."""

    record: Hash
    moment: int
    operation_ids: dict[bytes, int]


class SimpleStore(Protocol):
    """What a custom provider's session must have."""

    async def setex(self, key: str, ttl: int, value: str) -> Any:
        """Store a text for `ttl` seconds."""

    async def get(self, key: str) -> Any:
        """The text (or bytes), or None."""

    async def delete(self, key: str) -> Any:
        """Remove it."""


class CustomBackend:
    """Runs twins over a factory of SimpleStore sessions."""

    name = "custom"

    def __init__(self, factory: Callable[[], AbstractAsyncContextManager[Any]], clock: Clock | None = None) -> None:
        self._factory = factory
        self._clock = clock or SystemClock()

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Load, run the twin, store what changed; nothing is repeated. Raises NotSupportedError for what needs an
        index, and SessionUnavailableError for whatever the provider raises.
        """
        operation, keys, argv = call
        if operation is operations.SWEEP:
            return [OK, 0, []]
        if operation.reads_index(argv):
            raise errors.NotSupportedError(_NO_INDEX)
        records = sorted(key for key, name in zip(keys, operation.keys, strict=False) if name in _RECORDS)
        async with AsyncExitStack() as stack:
            for key in records:
                await stack.enter_async_context(_LOCKS.hold(key))
            store = await stack.enter_async_context(self._open())
            before = {key: await _load(store, key) for key in records}
            space = Keyspace(self._clock)
            for key, stored in before.items():
                if stored is not None:
                    _put(space, key, stored)
            space.tick()
            reply = TWINS[operation.name](space, keys, argv)
            for key in records:
                after = _taken(space, key)
                if after != before[key]:
                    await _save(store, key, after, space.now)
            return reply

    async def ping(self) -> Health:
        """Read a key that nothing is stored under. Raises SessionUnavailableError for whatever the provider raises."""
        begun = time.perf_counter()
        async with self._open() as store:
            await store.get(_PING_KEY)
        return Health(1000 * (time.perf_counter() - begun), self.name)

    async def aclose(self) -> None:
        """The provider closes its sessions itself."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[SimpleStore]:
        try:
            async with self._factory() as store:
                yield store
        except errors.SessionError:
            raise
        except Exception as error:
            raise errors.SessionUnavailableError(f"the custom provider failed: {type(error).__name__}") from error


def _put(space: Keyspace, key: str, stored: Stored) -> None:
    space.load(key, stored.record, stored.moment)
    if stored.operation_ids:
        ids = stored.operation_ids
        space.load_set(names.operations_of(key), ids.items(), max(ids.values()))


def _taken(space: Keyspace, key: str) -> Stored | None:
    found = space.peek(key)
    return None if found is None else Stored(*found, space.peek_set(names.operations_of(key)))


async def _load(store: SimpleStore, key: str) -> Stored | None:
    value = await store.get(key)
    if not value:
        return None
    try:
        moment, fields, *more = json.loads(value)
        record = {name.encode("latin-1"): text.encode("latin-1") for name, text in fields.items()}
        ids = {name.encode("latin-1"): int(until) for name, until in more[0].items()} if more else {}
        return Stored(record, int(moment), ids)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise errors.CorruptRecordError("what the custom provider holds is not a session record") from error


async def _save(store: SimpleStore, key: str, stored: Stored | None, now: int) -> None:
    """Bytes travel as Latin-1 text in ASCII JSON, which any provider carries unharmed."""
    if stored is None:
        await store.delete(key)
        return
    moment = stored.moment
    value: list[Any] = [
        moment,
        {name.decode("latin-1"): text.decode("latin-1") for name, text in stored.record.items()},
    ]
    if stored.operation_ids:
        value.append({name.decode("latin-1"): until for name, until in stored.operation_ids.items()})
    await store.setex(key, max(1, -((now - moment) // 1000)), json.dumps(value, separators=(",", ":")))
