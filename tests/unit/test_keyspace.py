"""The emulator's keyspace: sorted sets that sort on demand, and keys that expire on time."""

from __future__ import annotations

import random

import pytest

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.backends.memory.keyspace import Keyspace
from chuk_sessions.backends.memory.sortedset import SortedSet


class PlainSortedSet:
    """A sorted set that answers from a dict of scores by member."""

    def __init__(self, scores):
        self.order = sorted((score, member) for member, score in scores.items())

    def items(self):
        return [(member, score) for score, member in self.order]

    def first(self):
        return next(iter(self.items()), None)

    def between(self, lowest, highest, limit=None):
        return [member for score, member in self.order if lowest <= score <= highest][:limit]

    def count(self, lowest, highest):
        return len(self.between(lowest, highest))


QUERIES = [
    lambda held, *_: held.items(),
    lambda held, *_: held.first(),
    lambda held, lowest, highest: held.between(lowest, highest, 3),
    lambda held, _, highest: held.between(0, highest),
    lambda held, lowest, highest: held.count(lowest, highest),
]


@pytest.mark.parametrize("seed", range(60))
def test_a_sorted_set_answers_as_if_sorted_after_each_change(seed):
    rng = random.Random(seed)
    members, query_rate = rng.choice([3, 20, 400]), rng.choice([0.02, 0.3])
    tested, plain = SortedSet(), {}
    for _ in range(1500):
        member, score = b"%d" % rng.randrange(members), rng.randrange(rng.choice([5, 1000]))
        if rng.random() < 0.6:
            tested.add(member, score)
            plain[member] = score
        else:
            tested.remove(member)
            plain.pop(member, None)
        assert (len(tested), tested.score(member)) == (len(plain), plain.get(member))
        if rng.random() < query_rate:
            query, highest = rng.choice(QUERIES), score + rng.randrange(-5, 300)
            assert query(tested, score, highest) == query(PlainSortedSet(plain), score, highest)


def test_a_key_expires_at_its_latest_expiration_time_earlier_or_later_than_before():
    clock = ManualClock()
    space = Keyspace(clock)
    for key in ("later", "sooner", "again", "stays"):
        space.hset(key, {b"f": 1})
        space.pexpireat(key, space.now + 1000)
    space.pexpireat("later", space.now + 3000)
    space.pexpireat("sooner", space.now + 500)
    space.delete("again")
    space.hset("again", {b"f": 2})
    space.pexpireat("again", space.now + 2000)
    space.pexpireat("stays", space.now + 100_000)
    alive = {}
    for ms in (499, 1, 500, 999, 1, 999, 1):
        clock.advance(ms=ms)
        space.tick()
        alive[space.now - 1_750_000_000_000] = sorted(space.snapshot())
    assert alive == {
        499: ["again", "later", "sooner", "stays"],
        500: ["again", "later", "stays"],
        1000: ["again", "later", "stays"],
        1999: ["again", "later", "stays"],
        2000: ["later", "stays"],
        2999: ["later", "stays"],
        3000: ["stays"],
    }


def test_numbers_are_returned_as_text():
    space = Keyspace(ManualClock())
    space.hset("k", {b"n": -7, b"t": b"7"})
    space.pexpireat("k", space.now + 1)
    assert space.hgetall("k") == [b"n", b"-7", b"t", b"7"]
    assert space.snapshot() == {"k": ({b"n": b"-7", b"t": b"7"}, space.now + 1)}
    assert space.peek("k") == ({b"n": b"-7", b"t": b"7"}, space.now + 1)


def stream_on(clock):
    space = Keyspace(clock)
    return space, lambda *fields, **options: (space.tick(), space.xadd("s", fields, **options))[1]


def test_ids_of_a_stream_never_go_back():
    clock = ManualClock(1000)
    space, add = stream_on(clock)
    ids = [add(b"f", b"1"), add(b"f", b"2")]
    clock.advance(ms=-500)
    ids += [add(b"f", b"3"), space.xtrim_minid("s", b"2000"), add(b"f", b"4")]
    clock.advance(ms=1000)
    assert [*ids, add(b"f", b"5")] == [b"1000-0", b"1000-1", b"1000-2", 3, b"1000-3", b"1500-0"]
    assert (space.xlen("s"), space.xadded("s")) == (2, 5)


def test_a_range_of_a_stream_has_the_bounds_of_xrange():
    clock = ManualClock(1000)
    space, add = stream_on(clock)
    ids = []
    for number in range(6):
        ids.append(add(b"f", b"%d" % number))
        clock.advance(ms=number % 2)
    assert ids == [b"1000-0", b"1000-1", b"1001-0", b"1001-1", b"1002-0", b"1002-1"]
    found = {bounds: [entry[0] for entry in space.xrange("s", *bounds)] for bounds in [
        (b"-", b"+"), (b"-", b"+", 2), (b"1001", b"1001"), (b"(1001-0", b"+"), (b"1000-1", b"(1002-0"), (b"1003", b"+"),
    ]}  # fmt: skip
    assert list(found.values()) == [ids, ids[:2], ids[2:4], ids[3:], ids[1:4], []]
    assert space.xrange("s", b"1000", b"1000-0") == [[b"1000-0", [b"f", b"0"]]]
    assert space.xtrim_minid("s", b"1001-1") == 3
    assert [entry[0] for entry in space.xrange("s", b"-", b"+")] == ids[3:]


def test_a_stream_drops_its_oldest_entries_at_its_cap():
    space, add = stream_on(ManualClock(1000))
    for number in range(1000):
        add(b"f", b"%d" % number, most=300)
    kept = [int(fields[1]) for _, fields in space.xrange("s", b"-", b"+")]
    assert 300 <= len(kept) <= 400
    assert kept == list(range(1000 - len(kept), 1000))
    assert space.xadded("s") == 1000
    space.delete("s")
    assert (space.xlen("s"), space.xadded("s"), space.snapshot()) == (0, 0, {})
