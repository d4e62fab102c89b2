"""Many sessions for tests of large stores. They are written directly, in the form in which the library stores them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from chuk_sessions import SessionManager
from chuk_sessions.backends.memory import MemoryBackend
from chuk_sessions.backends.memory.clock import SystemClock
from chuk_sessions.backends.memory.keyspace import Fields
from chuk_sessions.core import ids, keys
from chuk_sessions.providers import memory, redis
from tests.harness.servers import Server

USER = "alice"
NOTES = keys.index("test", ids.home_bucket("test", USER)).notes(ids.user_hash(USER))
DIGITS = 8
LAST = b"A"
"""The last character of a handle has only two bits of a hash, so it cannot be any digit."""

HOUR_MS = 3_600_000


def stem_of(bucket: int) -> bytes:
    """Return a handle of a generated id in that bucket, without its last digits and LAST."""
    return keys.session_keys("test", ids.new_id(None, bucket)).handle[: -DIGITS - len(LAST)]


def handle_of(stem: bytes, number: int) -> bytes:
    """Return one of the handles with this stem."""
    return stem + b"%0*d" % (DIGITS, number) + LAST


class Crowd(ABC):
    """A store to fill.

    Attributes:
        most: how many sessions can be written quickly.
        now: the time in ms.

    """

    most = 1_000_000

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000

    def moment(self, ended: bool) -> int:
        """Return a deadline in ms since the epoch, in the past for an expired session."""
        return self.now - 1 if ended else self.now + HOUR_MS

    @abstractmethod
    def manager(self) -> SessionManager:
        """Return a manager on the store."""

    @abstractmethod
    def close(self) -> None:
        """Close the store's client."""

    def size(self, wanted: int) -> int:
        """Return the wanted number, or less if that cannot be written quickly."""
        return min(wanted, self.most)

    @abstractmethod
    def index_sessions(self, at: keys.IndexKeys, number: int, *, ended: bool = False) -> None:
        """Add sessions without records to a bucket's index of deadlines."""

    @abstractmethod
    def make_sessions(self, at: keys.IndexKeys, number: int) -> None:
        """Write sessions of USER to a bucket, and the note about them."""

    @abstractmethod
    def end_sandboxes(self, bucket: int, number: int) -> None:
        """Write sandboxes with an expired session each."""

    def spread(self, number: int, *, ended: bool = False) -> int:
        """Index sessions evenly over all buckets. Return how many."""
        share = number // ids.BUCKETS
        for bucket in range(ids.BUCKETS):
            self.index_sessions(keys.index("test", bucket), share, ended=ended)
        return share * ids.BUCKETS


class EmulatedCrowd(Crowd):
    """The emulator's keyspace."""

    most = 20_000

    def __init__(self) -> None:
        super().__init__()
        self._factory = memory.factory(SystemClock())
        backend = self._factory.backend
        assert isinstance(backend, MemoryBackend)
        self._space = backend._space

    def close(self) -> None:
        """Do nothing: the emulator has no client."""

    def manager(self) -> SessionManager:
        return SessionManager("test", self._factory)

    def index_sessions(self, at: keys.IndexKeys, number: int, *, ended: bool = False) -> None:
        stem, moment = stem_of(at.bucket), self.moment(ended)
        for index in range(number):
            self._space.zadd(at.deadlines, moment, handle_of(stem, index))

    def make_sessions(self, at: keys.IndexKeys, number: int) -> None:
        stem, moment = stem_of(at.bucket), self.now + HOUR_MS
        for index in range(number):
            handle = handle_of(stem, index)
            self._space.zadd(at.users, ids.user_hash(USER), handle)
            self._space.zadd(at.deadlines, moment, handle)
            record: Fields = {b"c": self.now, b"d": moment, b"a": self.now, b"v": 1, b"u": USER.encode(), b"m:n": 5}
            self._space.hset(at.records + handle.decode(), record)
            self._space.pexpireat(at.records + handle.decode(), moment)
        self._space.zadd(NOTES, self.now, b"%02x" % at.bucket)

    def end_sandboxes(self, bucket: int, number: int) -> None:
        for index in range(number):
            name = f"tenant{bucket}-{index}"
            self._space.zadd(keys.sandboxes(bucket), self.now - 1, name.encode())
            self._space.zadd(keys.index(name, bucket).deadlines, self.now - 1, b"s1")


INDEX = """
for number = 1, ARGV[1] do
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3] .. string.format('%08dA', number - 1))
end
"""
MAKE = """
for number = 1, ARGV[1] do
  local handle = ARGV[3] .. string.format('%08dA', number - 1)
  redis.call('ZADD', KEYS[1], ARGV[2], handle)
  redis.call('ZADD', KEYS[2], ARGV[4], handle)
  redis.call('HSET', KEYS[3] .. handle, 'c', ARGV[5], 'd', ARGV[2], 'a', ARGV[5], 'v', 1, 'u', ARGV[6], 'm:n', 5)
  redis.call('PEXPIREAT', KEYS[3] .. handle, ARGV[2])
end
"""
END = """
for number = 1, ARGV[1] do
  local name = ARGV[3] .. '-' .. (number - 1)
  redis.call('ZADD', KEYS[1], ARGV[2], name)
  redis.call('ZADD', KEYS[2] .. name .. '/deadlines', ARGV[2], 's1')
end
"""


class ServerCrowd(Crowd):
    """A server, which scripts fill."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._url = server.url
        self._client = server.client()

    def close(self) -> None:
        self._client.close()

    def manager(self) -> SessionManager:
        return SessionManager("test", redis.factory(self._url))

    def index_sessions(self, at: keys.IndexKeys, number: int, *, ended: bool = False) -> None:
        self._client.eval(INDEX, 1, at.deadlines, number, self.moment(ended), stem_of(at.bucket))

    def make_sessions(self, at: keys.IndexKeys, number: int) -> None:
        self._client.eval(
            MAKE, 3, at.deadlines, at.users, at.records,
            number, self.now + HOUR_MS, stem_of(at.bucket), ids.user_hash(USER), self.now, USER,
        )  # fmt: skip
        self._client.zadd(NOTES, {b"%02x" % at.bucket: self.now})

    def end_sandboxes(self, bucket: int, number: int) -> None:
        common = f"chuk1:{{{keys.tag(bucket)}}}/"
        self._client.eval(END, 2, keys.sandboxes(bucket), common, number, self.now - 1, f"tenant{bucket}")
