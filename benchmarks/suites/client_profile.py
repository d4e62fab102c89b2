"""What a call costs the client, piece by piece: hot loops in this process with no server. The sum of the pieces
is less than what they cost in the midst of a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count, cycle, islice
from typing import Any

import hiredis

from benchmarks.harness.process import Sample
from benchmarks.harness.rounds import Settings
from benchmarks.harness.workload import allocation
from benchmarks.peers.sessions import SHORT
from chuk_sessions import Health, SessionManager
from chuk_sessions.backends.memory import SystemClock
from chuk_sessions.backends.memory.keyspace import Keyspace
from chuk_sessions.backends.memory.twins import TWINS
from chuk_sessions.backends.redis.scripts import scripts
from chuk_sessions.core import codec, ids, keys, operations
from chuk_sessions.core.operation import Call, Reply, RetryCalls
from chuk_sessions.core.record import Record
from chuk_sessions.providers.factory import Factory

SANDBOX = "pieces"
CALLS = 5_000
SESSIONS = 20_000
"""More than are kept in any cache of ids."""

Piece = Callable[[], object]


class Silent:
    """A backend that answers at once, and does nothing."""

    name = "silent"

    def __init__(self, record: list[bytes]) -> None:
        self._replies: dict[str, Reply] = {"read": [1, record], "allocate": [2], "increment": [1, 1]}

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        """The reply of an operation that went well."""
        return self._replies.get(call.operation.name, [1])

    async def ping(self) -> Health:
        """Nothing is asked."""
        return Health(0.0, self.name)

    async def aclose(self) -> None:
        """Nothing is open."""


def measure(settings: Settings) -> dict[str, list[Sample]]:
    """CPU of each piece, in as many rounds."""
    found: dict[str, list[Sample]] = {}
    for _ in range(settings.rounds):
        for name, piece in _pieces().items():
            found.setdefault(name, []).append(_timed(piece))
        for name, call in _calls().items():
            found.setdefault(name, []).append(asyncio.run(_awaited(call)))
    return found


def _timed(piece: Piece) -> Sample:
    cpu, begun = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        piece()
    return Sample(CALLS, time.perf_counter() - begun, time.process_time() - cpu, 0, 0, 0)


async def _awaited(call: Callable[[], Awaitable[object]]) -> Sample:
    cpu, begun = time.process_time(), time.perf_counter()
    for _ in range(CALLS):
        await call()
    return Sample(CALLS, time.perf_counter() - begun, time.process_time() - cpu, 0, 0, 0)


def _allocation(target: keys.SessionKeys) -> Call:
    return allocation(target, SANDBOX, "user000001")


def _stored() -> tuple[Keyspace, list[tuple[str, keys.SessionKeys]]]:
    space, made = Keyspace(SystemClock()), []
    for number in range(SESSIONS):
        session_id = ids.new_id(f"user{number % 100:06d}", number % ids.BUCKETS)
        target = keys.session_keys(SANDBOX, session_id)
        TWINS["allocate"](space, *_allocation(target)[1:])
        made.append((session_id, target))
    return space, made


def _pieces() -> dict[str, Piece]:
    space, made = _stored()
    names, targets = cycle([name for name, _ in made]), cycle([target for _, target in made])
    (name, target), fresh = made[0], cycle(_fresh_targets())
    record = TWINS["read"](space, *operations.read(target)[1:])[1]
    packed = b"*2\r\n:1\r\n*%d\r\n" % len(record) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in record)
    reader, sent = hiredis.Reader(), scripts()
    validation, allocation = operations.validate(target, 0, 0, False), _allocation(target)
    number = count()

    def parse() -> Any:
        reader.feed(packed)
        return reader.gets()

    def twin(call: Call) -> Reply:
        return TWINS[call.operation.name](space, call.keys, call.argv)

    def later_validation() -> Reply:
        space.now += 1
        return twin(validation)

    def extension() -> Call:
        return operations.extend(
            next(targets), additional_ms=1000, operation_id=b"%011d" % next(number), retention_ms=300_000
        )

    pair = codec.encode({"last_page": "/cart"}, 100)
    return {
        "an id found as a place, seen before": lambda: keys.find(SANDBOX, name),
        "an id found as a place, new": lambda: keys.find(SANDBOX, next(names)),
        "a fresh id": lambda: ids.new_id_and_handle("user000001", 7),
        "an operation id": operations.operation_id,
        "four values as JSON": lambda: codec.encode(SHORT, 1000),
        "one value as JSON": lambda: codec.encode({"last_page": "/cart"}, 1000),
        "a validation packed": lambda: sent["validate"].call(validation.keys, validation.argv),
        "an allocation packed": lambda: sent["allocate"].call(allocation.keys, allocation.argv),
        "the reply of a read parsed": parse,
        "a record from a reply": lambda: Record.from_reply(record),
        "a record from a reply, as a dict": lambda: Record.from_reply(record).to_dict(name, SANDBOX),
        "twin of validate, a ms later each time": later_validation,
        "twin of set": lambda: twin(operations.merge(next(targets), pairs=pair)),
        "twin of extend": lambda: twin(extension()),
        "twin of allocate": lambda: twin(_allocation(next(fresh))),
    }


def _fresh_targets() -> list[keys.SessionKeys]:
    made = (ids.new_id("user000001", number % ids.BUCKETS) for number in range(CALLS))
    return [keys.session_keys(SANDBOX, session_id) for session_id in made]


def _calls() -> dict[str, Callable[[], Awaitable[object]]]:
    space, made = _stored()
    backend = Silent(TWINS["read"](space, *operations.read(made[0][1])[1:])[1])
    manager = SessionManager(SANDBOX, Factory(backend, lambda: None))  # type: ignore[type-var]
    hot, cold = made[0][0], cycle(name for name, _ in islice(made, CALLS, None))
    return {
        "validate_session, no backend": lambda: manager.validate_session(hot),
        "get_session_info, no backend": lambda: manager.get_session_info(hot),
        "update_session_metadata, no backend": lambda: manager.update_session_metadata(hot, {"last_page": "/cart"}),
        "extend_session_ttl, no backend, new ids": lambda: manager.extend_session_ttl(next(cold), 1),
        "allocate_session, no backend": lambda: manager.allocate_session(user_id="user000001", custom_metadata=SHORT),
    }
