"""What the server spends on a call: CPU of its process, for each script and for the plain commands that scripts are
made of, among few and among many sessions. No client is in these figures.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

import hiredis

from benchmarks.harness.process import Sample
from benchmarks.harness.workload import USERS, allocation
from benchmarks.peers.sessions import TTL
from chuk_sessions.backends.redis import scripts
from chuk_sessions.backends.redis.net.resp import Command, pack
from chuk_sessions.core import codec, ids, keys, operations
from chuk_sessions.core.keys import SessionKeys
from chuk_sessions.core.operation import Call
from tests.harness.servers import Server

SANDBOX = "spent"
DEPTH = 64
CALLS = 100 * DEPTH
"""In one turn."""

_EMPTY = b"return 1"
_PLAIN = ("HMGET", "HSET", "ZADD", "TIME")


class Spender:
    """A server with so many sessions. Asked like a Worker; the `cpu` of its samples is the server's."""

    def __init__(self, server: Server, sessions: int) -> None:
        self._client = server.client()
        self._socket, self._reader = socket.create_connection(("127.0.0.1", server.port)), hiredis.Reader()
        self._random = Random(sessions)
        self._scripts = scripts.scripts()
        for script in self._scripts.values():
            self._client.script_load(script.text)
        self._empty = self._client.script_load(_EMPTY)
        self._targets = self._new(sessions)
        self._send([self._packed(allocation) for allocation in map(_allocate, self._targets)])

    def can(self, operation: str) -> bool:
        """All that is in WORK."""
        return operation in WORK

    def ask(self, operation: str, callers: int, seconds: float) -> Sample:
        """Send CALLS of them, DEPTH at a time."""
        packed = list(self._work(operation))
        before, begun = self._spent(), time.perf_counter()
        self._send(packed)
        took = time.perf_counter() - begun
        return Sample(len(packed), took, self._spent() - before, 0.0, 0.0, 0.0)

    def _work(self, name: str) -> Iterator[bytes]:
        if name == "allocate":
            return map(self._packed, map(_allocate, self._new(CALLS)))
        if name in ("extend", "delete"):
            return map(self._packed, map(CALL_OF[name], self._used_up()))
        targets = self._random.choices(self._targets, k=CALLS)
        if name in CALL_OF:
            return map(self._packed, map(CALL_OF[name], targets))
        return (pack(self._words(name, target)) for target in targets)

    def _used_up(self) -> list[SessionKeys]:
        """Sessions long made, where there are enough: those made last are still at hand in the processor's cache."""
        if len(self._targets) > 8 * CALLS:
            return [self._targets.pop() for _ in range(CALLS)]
        targets = self._new(CALLS)
        self._send([self._packed(allocation) for allocation in map(_allocate, targets)])
        return targets

    def _words(self, name: str, target: SessionKeys) -> Command:
        moment = round(time.time() * 1000)
        return {
            "empty script": ("EVALSHA", self._empty, 1, target.record),
            "HMGET": ("HMGET", target.record, "d", "a", "i"),
            "HSET": ("HSET", target.record, "a", moment),
            "ZADD": ("ZADD", target.index_keys.deadlines, moment + self._random.randrange(TTL * 1000), target.handle),
            "TIME": ("TIME",),
        }[name]

    def _new(self, number: int) -> list[SessionKeys]:
        users = (f"user{self._random.randrange(USERS):06d}" for _ in range(number))
        return [keys.session_keys(SANDBOX, ids.new_id(user, self._random.randrange(ids.BUCKETS))) for user in users]

    def _packed(self, call: Call) -> bytes:
        return self._scripts[call.operation.name].call(call.keys, call.argv)

    def _send(self, packed: Sequence[bytes]) -> None:
        for first in range(0, len(packed), DEPTH):
            batch = packed[first : first + DEPTH]
            self._socket.sendall(b"".join(batch))
            for _ in batch:
                self._receive()

    def _receive(self) -> None:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 16))
        if isinstance(reply, hiredis.ReplyError):
            raise reply

    def _spent(self) -> float:
        cpu = self._client.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def _allocate(target: SessionKeys) -> Call:
    return allocation(target, SANDBOX, f"user{int.from_bytes(target.handle[-2:]) % USERS:06d}")


CALL_OF: dict[str, Callable[[SessionKeys], Call]] = {
    "validate": lambda target: operations.validate(target, 0, 300_000, False),
    "read": operations.read,
    "set": lambda target: operations.merge(target, pairs=codec.encode({"last_page": "/cart"}, 100)),
    "increment": lambda target: operations.increment(
        target, field=codec.field_of("hits"), amount=1, ceiling=None, operation_id=b""
    ),
    "extend": lambda target: operations.extend(
        target, additional_ms=1000, operation_id=operations.operation_id(), retention_ms=300_000
    ),
    "delete": operations.delete,
}
WORK = ("allocate", *CALL_OF, "empty script", *_PLAIN)
