"""The suite server_cpu: the CPU of the server's process per call, among few and among many sessions.

It measures each script, and the plain commands that scripts consist of. These figures include no client.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

import hiredis

from benchmarks.harness.process import Sample
from benchmarks.harness.workload import USERS, allocation, extension
from benchmarks.peers.sessions import TTL
from chuk_sessions.backends.redis import scripts
from chuk_sessions.backends.redis.net.resp import Command, pack
from chuk_sessions.core import codec, data_operations, ids, index_operations, keys, note_operations, operations
from chuk_sessions.core.keys import SessionKeys
from chuk_sessions.core.operation import Call
from tests.harness.servers import Server

SANDBOX = "server-cpu"
DEPTH = 64
CALLS = 100 * DEPTH
"""The calls of one sample."""

LISTED_USERS = 64
SESSIONS_OF_USER = 10
"""Sessions of each user in the measurements of lists and counts."""

_EMPTY_SCRIPT = b"return 1"
_PLAIN_COMMANDS = ("HMGET", "HSET", "ZADD", "TIME")


class ServerCpu:
    """A server with a number of sessions. It measures like a Worker, but the `cpu` of its samples is the server's."""

    def __init__(self, server: Server, sessions: int) -> None:
        self._client = server.client()
        self._socket, self._reader = socket.create_connection(("127.0.0.1", server.port)), hiredis.Reader()
        self._random = Random(sessions)
        self._scripts = scripts.scripts()
        for script in self._scripts.values():
            self._client.script_load(script.text)
        self._empty_script = self._client.script_load(_EMPTY_SCRIPT)
        self._owned: dict[str, list[SessionKeys]] = {}
        self._targets = self._created(sessions)

    def supports(self, operation: str) -> bool:
        """Return whether OPERATIONS contains it."""
        return operation in OPERATIONS

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Send CALLS calls, DEPTH commands at a time. Fewer lists, which take several commands each."""
        packed, calls = self.prepare(operation)
        cpu_before, started = self._cpu_seconds(), time.perf_counter()
        self.send(packed)
        elapsed = time.perf_counter() - started
        return Sample(calls, elapsed, self._cpu_seconds() - cpu_before, 0.0, 0.0, 0.0)

    def prepare(self, operation: str) -> tuple[list[bytes], int]:
        """Return the packed commands of a sample and the number of its calls, once their sessions exist."""
        users = self._listed_users() if operation in USER_CALL_BUILDERS else []
        packed = self._commands_of(operation, users) if users else list(self._commands(operation))
        return packed, CALLS // SESSIONS_OF_USER if users else len(packed)

    def _commands_of(self, operation: str, users: Sequence[str]) -> list[bytes]:
        """Return the commands of CALLS / SESSIONS_OF_USER calls on the sessions of random users."""
        chosen = self._random.choices(users, k=CALLS // SESSIONS_OF_USER)
        return [
            self._packed(call) for user in chosen for call in USER_CALL_BUILDERS[operation](user, self._owned[user])
        ]

    def _listed_users(self) -> list[str]:
        """Return users with SESSIONS_OF_USER sessions each in their home buckets, as the engine creates them."""
        for user in () if self._owned else (f"listed{number}" for number in range(LISTED_USERS)):
            home = ids.home_bucket(SANDBOX, user)
            targets = [keys.session_keys(SANDBOX, ids.new_id(user, home)) for _ in range(SESSIONS_OF_USER)]
            self.send([self._packed(allocation(target, SANDBOX, user)) for target in targets])
            self._owned[user] = targets
        return list(self._owned)

    def _commands(self, operation: str) -> Iterator[bytes]:
        if operation == "allocate":
            return map(self._packed, map(_allocation, self._new_targets(CALLS)))
        if operation in ("extend", "delete"):
            return map(self._packed, map(CALL_BUILDERS[operation], self._targets_to_consume()))
        targets = self._random.choices(self._targets, k=CALLS)
        if operation in CALL_BUILDERS:
            return map(self._packed, map(CALL_BUILDERS[operation], targets))
        return (pack(self._plain_command(operation, target)) for target in targets)

    def _targets_to_consume(self) -> list[SessionKeys]:
        """Return old sessions if there are enough, because the processor's cache still holds recent ones."""
        if len(self._targets) > 8 * CALLS:
            return [self._targets.pop() for _ in range(CALLS)]
        return self._created(CALLS)

    def _created(self, number: int) -> list[SessionKeys]:
        targets = self._new_targets(number)
        self.send([self._packed(call) for call in map(_allocation, targets)])
        return targets

    def _plain_command(self, name: str, target: SessionKeys) -> Command:
        now_ms = round(time.time() * 1000)
        return {
            "empty script": ("EVALSHA", self._empty_script, 1, target.record),
            "HMGET": ("HMGET", target.record, "d", "a", "i"),
            "HSET": ("HSET", target.record, "a", now_ms),
            "ZADD": ("ZADD", target.index_keys.deadlines, now_ms + self._random.randrange(TTL * 1000), target.handle),
            "TIME": ("TIME",),
        }[name]

    def _new_targets(self, number: int) -> list[SessionKeys]:
        users = (f"user{self._random.randrange(USERS):06d}" for _ in range(number))
        return [keys.session_keys(SANDBOX, ids.new_id(user, self._random.randrange(ids.BUCKETS))) for user in users]

    def _packed(self, call: Call) -> bytes:
        if call.operation.command:
            return pack((call.operation.command, *call.keys, *call.argv))
        return self._scripts[call.operation.name].call(call.keys, call.argv)

    def send(self, packed: Sequence[bytes]) -> None:
        """Send commands, DEPTH at a time, and receive their replies."""
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

    def _cpu_seconds(self) -> float:
        cpu = self._client.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def _allocation(target: SessionKeys) -> Call:
    return allocation(target, SANDBOX, f"user{int.from_bytes(target.handle[-2:]) % USERS:06d}")


CALL_BUILDERS: dict[str, Callable[[SessionKeys], Call]] = {
    "validate": lambda target: operations.validate(target, 0, 300_000, False),
    "read": operations.read,
    "load": lambda target: operations.load(target, 0, 300_000, False),
    "set": lambda target: data_operations.merge(target, pairs=codec.encode({"last_page": "/cart"}, 100)),
    "increment": lambda target: data_operations.increment(
        target, field=codec.field_of("hits"), amount=1, ceiling=None, operation_id=b""
    ),
    "extend": extension,
    "delete": operations.delete,
}


def _list_calls(user: str, targets: Sequence[SessionKeys]) -> list[Call]:
    index, hashed = keys.index(SANDBOX, ids.home_bucket(SANDBOX, user)), ids.user_hash(user)
    return [index_operations.find(index, hashed), note_operations.notes(index, hashed), *map(operations.fetch, targets)]


def _count_calls(user: str, _: Sequence[SessionKeys]) -> list[Call]:
    index, hashed = keys.index(SANDBOX, ids.home_bucket(SANDBOX, user)), ids.user_hash(user)
    return [index_operations.count(index, user=hashed), note_operations.notes(index, hashed)]


USER_CALL_BUILDERS: dict[str, Callable[[str, Sequence[SessionKeys]], list[Call]]] = {
    f"list of {SESSIONS_OF_USER}": _list_calls,
    f"count of {SESSIONS_OF_USER}": _count_calls,
}
"""The calls of a list and of a count of a user's sessions, as the engine sends them."""

OPERATIONS = ("allocate", *CALL_BUILDERS, *USER_CALL_BUILDERS, "empty script", *_PLAIN_COMMANDS)
