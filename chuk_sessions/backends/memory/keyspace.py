"""The emulator's keyspace: hashes and sorted sets under keys, and the moments at which keys go.

The methods are named after the Redis commands that the scripts call, so that a twin reads like its script. They do what
those do for keys of the kind that the scripts have: some count on a key that is there. Nothing here locks: the backend
does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain

from .clock import Clock
from .sortedset import SortedSet

Hash = dict[bytes, bytes]

Value = bytes | int
"""What a field holds. A number that was set as one becomes text when it is given out: most are counted with before."""

Fields = dict[bytes, Value]

_NO_HASH: Fields = {}
_NO_SET = SortedSet()
_FEW = 64


def pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """(field, value) from field, value, field, value..."""
    parts = iter(flat)
    return zip(parts, parts, strict=True)


def text(value: Value) -> bytes:
    """A value as Redis gives it out."""
    return b"%d" % value if isinstance(value, int) else value


class Keyspace:
    """Keys of one emulated server.

    Attributes:
        now: the time in ms at which the running operation began; `tick` sets it.

    """

    def __init__(self, clock: Clock) -> None:
        self._now_ms = clock.now_ms
        self._hashes: dict[str, Fields] = {}
        self._sets: dict[str, SortedSet] = {}
        self._expires: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        self.now = clock.now_ms()

    def tick(self) -> None:
        """Begin an operation: read the clock once and drop every key whose time has come, whether or not anybody asks
        for it.
        """
        self.now = self._now_ms()
        if self._queue and self._queue[0][0] <= self.now:
            self._drop()

    def _drop(self) -> None:
        while self._queue and self._queue[0][0] <= self.now:
            _, key = heappop(self._queue)
            moment = self._expires.get(key)
            if moment is None:
                continue
            if moment <= self.now:
                self.delete(key)
            else:
                heappush(self._queue, (moment, key))

    def hash(self, key: str) -> Mapping[bytes, Value]:
        """A hash to look into; empty for a key that is not there."""
        return self._hashes.get(key, _NO_HASH)

    def hset_one(self, key: str, field: bytes, value: Value) -> None:
        """Set one field of a hash that is there."""
        self._hashes[key][field] = value

    def hgetall(self, key: str) -> list[bytes]:
        """field, value, field, value..."""
        parts = chain.from_iterable(self._hashes.get(key, _NO_HASH).items())
        return [part if isinstance(part, bytes) else b"%d" % part for part in parts]

    def hkeys(self, key: str) -> list[bytes]:
        """The fields."""
        return list(self._hashes.get(key, _NO_HASH))

    def hset(self, key: str, fields: Fields) -> None:
        """Set fields. The dict is the keyspace's from now on."""
        record = self._hashes.setdefault(key, fields)
        if record is not fields:
            record.update(fields)

    def hdel(self, key: str, fields: Sequence[bytes]) -> None:
        """Remove fields of a hash that keeps others: no record is without its times."""
        if not fields:
            return
        record = self._hashes[key]
        for field in fields:
            record.pop(field, None)

    def hstrlen(self, key: str, field: bytes) -> int:
        """How long a value is; 0 without one."""
        value = self._hashes.get(key, _NO_HASH).get(field)
        return 0 if value is None else len(text(value))

    def copy(self, source: str, target: str) -> None:
        """Copy a hash with its time to go."""
        self._hashes[target] = dict(self._hashes[source])
        self.pexpireat(target, self._expires[source])

    def delete(self, key: str) -> None:
        """Remove a key."""
        self._hashes.pop(key, None)
        self._sets.pop(key, None)
        self._expires.pop(key, None)

    def rename(self, source: str, target: str) -> None:
        """Move a sorted set that has a time to go to a key that is not there."""
        self._sets[target] = self._sets.pop(source)
        self.pexpireat(target, self._expires.pop(source))

    def pexpireat(self, key: str, moment: int) -> None:
        """Let a key that is there go at `moment` (ms). In the past: at once."""
        if moment <= self.now:
            self.delete(key)
            return
        present = self._expires.get(key)
        self._expires[key] = moment
        # One entry is enough that comes up no later than the key goes: most moments only move further away.
        if present is not None and present <= moment:
            return
        heappush(self._queue, (moment, key))
        if len(self._queue) > 2 * len(self._expires) + _FEW:
            self._queue = [(due, name) for name, due in self._expires.items()]
            heapify(self._queue)

    def zadd(self, key: str, score: int, member: bytes, *, lower_only: bool = False) -> None:
        """Add or move a member; `lower_only` is ZADD's LT."""
        members = self._sets.get(key)
        if members is None:
            members = self._sets[key] = SortedSet()
        if lower_only:
            present = members.score(member)
            if present is not None and present <= score:
                return
        members.add(member, score)

    def zrem(self, key: str, member: bytes) -> None:
        """Remove a member; a set without any goes."""
        members = self._sets.get(key)
        if members is not None:
            members.remove(member)
            if not members:
                self.delete(key)

    def zscore(self, key: str, member: bytes) -> int | None:
        """A member's score."""
        return self._sets.get(key, _NO_SET).score(member)

    def zrangebyscore(
        self,
        key: str,
        lowest: int,
        highest: int | None,
        limit: int | None = None,
        after: tuple[int, bytes] | None = None,
    ) -> list[bytes]:
        """Members from `lowest` to `highest`, both included; None is +inf. With `after`, those after that score and
        member, which the scripts look for with ZRANGE and ZCOUNT.
        """
        return self._sets.get(key, _NO_SET).between(lowest, highest, limit, after)

    def zrangewithscores(self, key: str, lowest: int) -> list[bytes]:
        """Members from `lowest` on: member, score, member, score..."""
        scored = self._sets.get(key, _NO_SET).items()
        return [part for member, score in scored if score >= lowest for part in (member, b"%d" % score)]

    def zremrangebyscore(self, key: str, highest: int) -> None:
        """Remove the members up to `highest`, included."""
        for member in self.zrangebyscore(key, 0, highest):
            self.zrem(key, member)

    def zcard(self, key: str) -> int:
        """How many members a set has."""
        return len(self._sets.get(key, _NO_SET))

    def zcount(self, key: str, lowest: int, highest: int | None) -> int:
        """How many those are."""
        return self._sets.get(key, _NO_SET).count(lowest, highest)

    def zfirst(self, key: str) -> tuple[bytes, int] | None:
        """The member with the lowest score, with that."""
        return self._sets.get(key, _NO_SET).first()

    def zlast(self, key: str) -> tuple[bytes, int] | None:
        """The member with the highest score, with that."""
        return self._sets.get(key, _NO_SET).last()

    def snapshot(self) -> dict[str, tuple[dict[bytes, bytes] | list[tuple[bytes, int]], int | None]]:
        """Every key with what it holds and when it goes (ms): what a test compares with a server's."""
        hashes = {key: (_texts(record), self._expires.get(key)) for key, record in self._hashes.items()}
        return {
            **hashes,
            **{key: (members.items(), self._expires.get(key)) for key, members in self._sets.items()},
        }

    def load(self, key: str, record: Hash, moment: int) -> None:
        """Put a hash in the place of what the key holds; `moment` (ms) is when it goes."""
        self.delete(key)
        self._hashes[key] = dict(record)
        self.pexpireat(key, moment)

    def load_set(self, key: str, members: Iterable[tuple[bytes, int]], moment: int | None) -> None:
        """The same with a sorted set."""
        self.delete(key)
        for member, score in members:
            self.zadd(key, score, member)
        if moment is not None:
            self.pexpireat(key, moment)

    def peek_set(self, key: str) -> dict[bytes, int]:
        """A sorted set's scores by member."""
        return dict(self._sets.get(key, _NO_SET).items())

    def peek(self, key: str) -> tuple[Hash, int] | None:
        """A hash and when it goes (ms), or None."""
        record = self._hashes.get(key)
        return None if record is None else (_texts(record), self._expires[key])


def _texts(record: Fields) -> Hash:
    return {field: text(value) for field, value in record.items()}
