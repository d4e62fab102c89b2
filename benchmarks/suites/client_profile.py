"""The suite client_profile: the client's CPU per step of a call, in hot loops in this process without a server.

The steps add up to less than they cost within a call, where caches are colder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count, cycle, islice
from typing import Any, NamedTuple

import hiredis

from benchmarks.harness.process import Sample
from benchmarks.harness.rounds import RunSettings
from benchmarks.harness.workload import allocation
from benchmarks.peers.sessions import SHORT
from chuk_sessions import Health, SessionManager
from chuk_sessions.backends.memory import SystemClock
from chuk_sessions.backends.memory.keyspace import Keyspace
from chuk_sessions.backends.memory.twins import TWINS
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.core import codec, data_operations, ids, keys, operation_ids, operations
from chuk_sessions.core.operation import Call, Reply, RetryCalls
from chuk_sessions.core.record import Record
from chuk_sessions.core.values import JSON
from chuk_sessions.core.write_hook import WriteHook
from chuk_sessions.providers.factory import Factory

SANDBOX = "profile"
CALLS = 5_000
SESSIONS = 20_000
"""More than any cache of ids holds."""

Step = Callable[[], object]
AsyncStep = Callable[[], Awaitable[object]]


class EmptyBackend:
    """A backend that does nothing and replies at once."""

    name = "empty"

    def __init__(self, record: list[bytes]) -> None:
        self.write_hook = WriteHook()
        self._replies: dict[str, Reply] = {
            "read": [1, record, 0],
            "load": [1, record],
            "allocate": [2],
            "increment": [1, 1],
        }

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """Return the reply of a successful operation."""
        return self._replies.get(call.operation.name, [1])

    async def ping(self) -> Health:
        """Report zero latency."""
        return Health(0.0, self.name)

    async def aclose(self) -> None:
        """Do nothing, because nothing is open."""


class Store(NamedTuple):
    """A keyspace of the emulator with SESSIONS sessions, and their ids and keys."""

    keyspace: Keyspace
    ids: list[str]
    targets: list[keys.SessionKeys]

    @classmethod
    def create(cls) -> Store:
        """Create the sessions, of 100 users in all buckets."""
        session_ids = [ids.new_id(f"user{n % 100:06d}", n % ids.BUCKETS) for n in range(SESSIONS)]
        store = cls(Keyspace(SystemClock()), session_ids, [keys.session_keys(SANDBOX, name) for name in session_ids])
        for target in store.targets:
            store.run(_allocation(target))
        return store

    def run(self, call: Call) -> Reply:
        """Run the twin of a script."""
        return TWINS[call.operation.name](self.keyspace, call.keys, call.argv)

    def read_record(self) -> list[bytes]:
        """Return the first session's record, as in the reply of a read."""
        record: list[bytes] = self.run(operations.read(self.targets[0]))[1]
        return record


def measure(settings: RunSettings) -> dict[str, list[Sample]]:
    """Return the samples of each step, one per round."""
    samples: dict[str, list[Sample]] = {}
    for _ in range(settings.rounds):
        store = Store.create()
        for name, step in {**_id_and_codec_steps(store), **_wire_steps(store), **_twin_steps(store)}.items():
            samples.setdefault(name, []).append(_timed(step))
        for name, async_step in _whole_calls(store).items():
            samples.setdefault(name, []).append(asyncio.run(_timed_async(async_step)))
    return samples


def _timed(step: Step) -> Sample:
    cpu, started = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        step()
    return Sample(CALLS, time.perf_counter() - started, time.process_time() - cpu, 0, 0, 0)


async def _timed_async(step: AsyncStep) -> Sample:
    cpu, started = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        await step()
    return Sample(CALLS, time.perf_counter() - started, time.process_time() - cpu, 0, 0, 0)


def _allocation(target: keys.SessionKeys) -> Call:
    return allocation(target, SANDBOX, "user000001")


def _id_and_codec_steps(store: Store) -> dict[str, Step]:
    session_id, session_ids = store.ids[0], cycle(store.ids)
    return {
        "look up the keys of an id, cached": lambda: keys.find(SANDBOX, session_id),
        "look up the keys of an id, not cached": lambda: keys.find(SANDBOX, next(session_ids)),
        "generate an id": lambda: ids.new_id("user000001", 7),
        "keys of a generated id": lambda: keys.new_session_keys(SANDBOX, session_id, 7),
        "generate an operation id": operation_ids.operation_id,
        "encode four values as JSON": lambda: codec.encode(SHORT, 1000),
        "encode one value as JSON": lambda: codec.encode({"last_page": "/cart"}, 1000),
    }


def _wire_steps(store: Store) -> dict[str, Step]:
    session_id, target, record = store.ids[0], store.targets[0], store.read_record()
    packed = b"*2\r\n:1\r\n*%d\r\n" % len(record) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in record)
    reader, script_of = hiredis.Reader(), scripts()
    validation, allocation = operations.validate(target, 0, 0, False), _allocation(target)

    def parse() -> Any:
        reader.feed(packed)
        return reader.gets()

    return {
        "pack a validation": lambda: script_of["validate"].call(validation.keys, validation.argv),
        "pack an allocation": lambda: script_of["allocate"].call(allocation.keys, allocation.argv),
        "parse the reply of a read": parse,
        "decode a record": lambda: Record.from_reply(record, JSON),
        "decode a record into a dict": lambda: Record.from_reply(record, JSON).to_dict(session_id, SANDBOX),
    }


def _twin_steps(store: Store) -> dict[str, Step]:
    targets, number = cycle(store.targets), count()
    new_allocations = cycle([_allocation(target) for target in _new_targets()])
    validation, pairs = operations.validate(store.targets[0], 0, 0, False), codec.encode({"last_page": "/cart"}, 100)

    def validate_a_ms_later() -> Reply:
        store.keyspace.now += 1
        return store.run(validation)

    def extend() -> Reply:
        operation_id = b"%011d" % next(number)
        return store.run(
            operations.extend(next(targets), additional_ms=1000, operation_id=operation_id, retention_ms=300_000)
        )

    return {
        "twin of validate, 1 ms later each time": validate_a_ms_later,
        "twin of set": lambda: store.run(data_operations.merge(next(targets), pairs=pairs)),
        "twin of extend": extend,
        "build an allocation": lambda: _allocation(store.targets[0]),
        "twin of allocate": lambda: store.run(next(new_allocations)),
    }


def _new_targets() -> list[keys.SessionKeys]:
    session_ids = (ids.new_id("user000001", number % ids.BUCKETS) for number in range(CALLS))
    return [keys.session_keys(SANDBOX, session_id) for session_id in session_ids]


def _whole_calls(store: Store) -> dict[str, AsyncStep]:
    factory = Factory(EmptyBackend(store.read_record()), lambda: None)  # type: ignore[type-var]
    manager = SessionManager(SANDBOX, factory)
    cached, not_cached = store.ids[0], cycle(islice(store.ids, CALLS, None))
    return {
        "validate_session, empty backend": lambda: manager.validate_session(cached),
        "get_session_info, empty backend": lambda: manager.get_session_info(cached),
        "load_session, empty backend": lambda: manager.load_session(cached),
        "update_session_metadata, empty backend": lambda: manager.update_session_metadata(
            cached, {"last_page": "/cart"}
        ),
        "extend_session_ttl, empty backend, ids not cached": lambda: manager.extend_session_ttl(next(not_cached), 1),
        "allocate_session, empty backend": lambda: manager.allocate_session(
            user_id="user000001", custom_metadata=SHORT
        ),
    }
