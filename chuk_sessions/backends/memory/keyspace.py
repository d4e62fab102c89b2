"""The emulator's keyspace: hashes, sorted sets, and streams under keys that expire.

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
from .stream import Stream, id_text

Hash = dict[bytes, bytes]

Value = bytes | int
"""The value of a field. An integer stays one, because most are used for arithmetic, and becomes text in replies."""

Fields = dict[bytes, Value]

Content = dict[bytes, bytes] | list[tuple[bytes, float]] | list[list[bytes]]
"""A hash, the members and scores of a sorted set, or the fields of a stream's entries without their ids."""

Snapshot = dict[str, tuple[Content, int | None]]
"""The content and the expiry (ms) of every key."""

_EMPTY_HASH: Fields = {}
_EMPTY_SET = SortedSet()
_EMPTY_STREAM = Stream()
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
        self._streams: dict[str, Stream] = {}
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

    def hdel_or_delete(self, key: str, fields: Sequence[bytes]) -> None:
        """Remove fields of a hash, and the key with its last field."""
        record = self._hashes.get(key)
        if record is None:
            return
        for field in fields:
            record.pop(field, None)
        if not record:
            self.delete(key)

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
        self._streams.pop(key, None)

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

    def zrem(self, key: str, member: bytes) -> bool:
        """Remove a member, and the key with its last member. Return whether the member existed."""
        members = self._sets.get(key)
        if members is None or members.score(member) is None:
            return False
        members.remove(member)
        if not members:
            self.delete(key)
        return True

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

    def xadd(self, key: str, fields: Sequence[bytes], most: int | None = None) -> bytes:
        """Add an entry of field, value, field, value... to a stream, and return its id; `most` is MAXLEN with `~`."""
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream()
        added = stream.add(self.now, fields)
        if most is not None:
            stream.keep_last(most)
        return id_text(added)

    def xrange(self, key: str, first: bytes, last: bytes, limit: int | None = None) -> list[list[bytes | list[bytes]]]:
        """Return entries of a stream, each as its id and its fields. Bounds are `-`, `+`, and ids; `(` excludes one."""
        return self._streams.get(key, _EMPTY_STREAM).between(first, last, limit)

    def xtrim_minid(self, key: str, first: bytes) -> int:
        """Remove the entries with lower ids than `first`, and return how many. An empty stream keeps its last id."""
        return self._streams.get(key, _EMPTY_STREAM).remove_before(first)

    def xlen(self, key: str) -> int:
        """Return the number of entries in a stream."""
        return len(self._streams.get(key, _EMPTY_STREAM))

    def xadded(self, key: str) -> int:
        """Return how many entries were ever added to a stream: `entries-added` of XINFO STREAM."""
        return self._streams.get(key, _EMPTY_STREAM).added

    def xstate(self, key: str) -> tuple[bytes, int, int]:
        """Return the id of the last entry, how many entries the stream has had, and how many of those are gone."""
        stream = self._streams.get(key, _EMPTY_STREAM)
        return id_text(stream.last), stream.added, stream.added - len(stream)

    def snapshot(self) -> Snapshot:
        """Return the value and the expiry (ms) of every key, for tests that compare them with a server's."""
        values: dict[str, Content] = {key: _texts(record) for key, record in self._hashes.items()}
        values |= {key: members.items() for key, members in self._sets.items()}
        values |= {key: stream.fields() for key, stream in self._streams.items()}
        return {key: (value, self._expiries.get(key)) for key, value in values.items()}

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
