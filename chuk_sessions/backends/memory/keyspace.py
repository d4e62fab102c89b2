"""The emulator's keyspace: hashes and sorted sets under keys that expire.

The methods are named after the Redis commands that the scripts call, so that a twin reads like its script. They
emulate those commands only as far as the scripts need: some require that the key exists. The keyspace takes no lock;
the backend does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain

from .clock import Clock
from .sortedset import SortedSet

Hash = dict[bytes, bytes]

Value = bytes | int
"""The value of a field. An integer stays one, because most are used for arithmetic, and becomes text in replies."""

Fields = dict[bytes, Value]

_EMPTY_HASH: Fields = {}
_EMPTY_SET = SortedSet()
_SLACK = 64
"""Outdated queue entries, plus one per key that expires, up to which the queue is not rebuilt."""


def pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Return (field, value) pairs from field, value, field, value..."""
    parts = iter(flat)
    return zip(parts, parts, strict=True)


def text(value: Value) -> bytes:
    """Return a value as Redis replies with it."""
    return b"%d" % value if isinstance(value, int) else value


class Keyspace:
    """The keys of one emulated server.

    Attributes:
        now: when the running operation started, ms; `tick` sets it.

    """

    def __init__(self, clock: Clock) -> None:
        self._now_ms = clock.now_ms
        self._hashes: dict[str, Fields] = {}
        self._sets: dict[str, SortedSet] = {}
        self._expiries: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        self.now = clock.now_ms()

    def tick(self) -> None:
        """Start an operation: read the clock once, and remove all expired keys, read or not."""
        self.now = self._now_ms()
        if self._queue and self._queue[0][0] <= self.now:
            self._remove_expired()

    def _remove_expired(self) -> None:
        while self._queue and self._queue[0][0] <= self.now:
            _, key = heappop(self._queue)
            expiry = self._expiries.get(key)
            if expiry is None:
                continue
            if expiry <= self.now:
                self.delete(key)
            else:
                heappush(self._queue, (expiry, key))

    def hash(self, key: str) -> Mapping[bytes, Value]:
        """Return a hash to read; an empty one if the key does not exist."""
        return self._hashes.get(key, _EMPTY_HASH)

    def exists(self, key: str) -> bool:
        """Return whether a hash exists."""
        return key in self._hashes

    def hset_one(self, key: str, field: bytes, value: Value) -> None:
        """Set one field of a hash that exists."""
        self._hashes[key][field] = value

    def hgetall(self, key: str) -> list[bytes]:
        """Return a hash as field, value, field, value..."""
        parts = chain.from_iterable(self._hashes.get(key, _EMPTY_HASH).items())
        return [part if isinstance(part, bytes) else b"%d" % part for part in parts]

    def hkeys(self, key: str) -> list[bytes]:
        """Return the names of the fields."""
        return list(self._hashes.get(key, _EMPTY_HASH))

    def hset(self, key: str, fields: Fields) -> None:
        """Set fields. The keyspace takes over the dict: the caller must not change it afterwards."""
        record = self._hashes.setdefault(key, fields)
        if record is not fields:
            record.update(fields)

    def hdel(self, key: str, fields: Sequence[bytes]) -> None:
        """Remove fields, but never the last one of a hash: every record keeps its times."""
        if not fields:
            return
        record = self._hashes[key]
        for field in fields:
            record.pop(field, None)

    def hstrlen(self, key: str, field: bytes) -> int:
        """Return the length of a value in bytes; 0 without one."""
        value = self._hashes.get(key, _EMPTY_HASH).get(field)
        return 0 if value is None else len(text(value))

    def copy(self, source: str, target: str) -> None:
        """Copy a hash and its expiry."""
        self._hashes[target] = dict(self._hashes[source])
        self.pexpireat(target, self._expiries[source])

    def delete(self, key: str) -> None:
        """Remove a key, if it exists."""
        if self._hashes.pop(key, None) is not None or self._sets.pop(key, None) is not None:
            self._expiries.pop(key, None)

    def rename(self, source: str, target: str) -> None:
        """Rename a sorted set that has an expiry to a key that does not exist."""
        self._sets[target] = self._sets.pop(source)
        self.pexpireat(target, self._expiries.pop(source))

    def pexpireat(self, key: str, expiry: int) -> None:
        """Expire an existing key at `expiry` (ms), or now if that is in the past."""
        if expiry <= self.now:
            self.delete(key)
            return
        present = self._expiries.get(key)
        self._expiries[key] = expiry
        # One queue entry that is due no later than the expiry is enough. Most expiries only move into the future.
        if present is not None and present <= expiry:
            return
        heappush(self._queue, (expiry, key))
        if len(self._queue) > 2 * len(self._expiries) + _SLACK:
            self._queue = [(due, name) for name, due in self._expiries.items()]
            heapify(self._queue)

    def zadd(self, key: str, score: float, member: bytes, *, lower_only: bool = False) -> None:
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
        """Remove a member, and the key with its last member."""
        members = self._sets.get(key)
        if members is not None:
            members.remove(member)
            if not members:
                self.delete(key)

    def zscore(self, key: str, member: bytes) -> float | None:
        """Return a member's score, or None."""
        return self._sets.get(key, _EMPTY_SET).score(member)

    def zrangebyscore(
        self,
        key: str,
        lowest: float,
        highest: float | None,
        limit: int | None = None,
        after: tuple[float, bytes] | None = None,
    ) -> list[bytes]:
        """Return members with scores from `lowest` to `highest`, both inclusive; None is +inf.

        `after`: only members after this score and member. The scripts find that place with ZRANGE and ZCOUNT.
        """
        return self._sets.get(key, _EMPTY_SET).between(lowest, highest, limit, after)

    def zrangewithscores(self, key: str, lowest: int) -> list[bytes]:
        """Return members with scores from `lowest` on, as member, score, member, score..."""
        scored = self._sets.get(key, _EMPTY_SET).items()
        return [part for member, score in scored if score >= lowest for part in (member, b"%d" % score)]

    def zremrangebyscore(self, key: str, highest: int) -> None:
        """Remove the members with scores up to `highest`, inclusive."""
        for member in self.zrangebyscore(key, 0, highest):
            self.zrem(key, member)

    def zremrangebyrank(self, key: str, last: int) -> None:
        """Remove the members with ranks from 0 to `last`, which is negative and counts from the end."""
        for member, _ in self._sets.get(key, _EMPTY_SET).items()[: last + 1 or None]:
            self.zrem(key, member)

    def zcard(self, key: str) -> int:
        """Return the number of members."""
        return len(self._sets.get(key, _EMPTY_SET))

    def zcount(self, key: str, lowest: float, highest: float | None) -> int:
        """Return the number of members with scores from `lowest` to `highest`; None is +inf."""
        return self._sets.get(key, _EMPTY_SET).count(lowest, highest)

    def zfirst(self, key: str) -> tuple[bytes, float] | None:
        """Return the member with the lowest score, and the score, or None."""
        return self._sets.get(key, _EMPTY_SET).first()

    def zlast(self, key: str) -> tuple[bytes, float] | None:
        """Return the member with the highest score, and the score, or None."""
        return self._sets.get(key, _EMPTY_SET).last()

    def snapshot(self) -> dict[str, tuple[dict[bytes, bytes] | list[tuple[bytes, float]], int | None]]:
        """Return the value and the expiry (ms) of every key, for tests that compare them with a server's."""
        hashes = {key: (_texts(record), self._expiries.get(key)) for key, record in self._hashes.items()}
        return {
            **hashes,
            **{key: (members.items(), self._expiries.get(key)) for key, members in self._sets.items()},
        }

    def load(self, key: str, record: Hash, expiry: int) -> None:
        """Replace the value of a key by a hash that expires at `expiry` (ms)."""
        self.delete(key)
        self._hashes[key] = dict(record)
        self.pexpireat(key, expiry)

    def load_set(self, key: str, members: Iterable[tuple[bytes, float]], expiry: int | None) -> None:
        """Replace the value of a key by a sorted set that expires at `expiry` (ms), or never."""
        self.delete(key)
        for member, score in members:
            self.zadd(key, score, member)
        if expiry is not None:
            self.pexpireat(key, expiry)

    def peek_set(self, key: str) -> dict[bytes, float]:
        """Return a sorted set's scores by member."""
        return dict(self._sets.get(key, _EMPTY_SET).items())

    def peek(self, key: str) -> tuple[Hash, int] | None:
        """Return a hash and its expiry (ms), or None."""
        record = self._hashes.get(key)
        return None if record is None else (_texts(record), self._expiries[key])


def _texts(record: Fields) -> Hash:
    return {field: text(value) for field, value in record.items()}
