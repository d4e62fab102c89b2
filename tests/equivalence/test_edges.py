"""Emulator and server at the edges that random steps seldom meet: limits, exact moments, records with many fields.

After each call the replies and the whole keyspaces are compared, as the state machine does.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import ids, keys, operations
from chuk_sessions.core.operation import Call
from tests.equivalence.test_state_machine import FAR_MS, comparable, on_server
from tests.harness.worlds import EmulatorWorld, ServerWorld

ALICE = ids.user_hash("alice")
TARGETS = [keys.session_keys("a", f"sess-alice-{1_700_000_000 + number}-07{number:032x}") for number in range(4)]
TARGET, OTHER = TARGETS[:2]
OTHERS = [keys.session_keys("a", f"sess-alice-{1_700_000_100 + number}-07{number:032x}") for number in range(2)]
MANY = [keys.session_keys("a", f"sess-alice-{1_700_000_200 + number}-07{number:032x}") for number in range(50)]
LARGEST = 2**53 - 1
SPAN = 10_000
ODD_NUMBERS = (b"0" * 17, b"0" * 18, b"-" + b"0" * 16, b"-" + b"0" * 17, b"", b"-", b"1\n")

put = partial(operations.merge, TARGET)
count_up = partial(operations.increment, TARGET, field=b"m:n", amount=1, ceiling=None, operation_id=b"")
touch = partial(operations.validate, TARGET, interval_ms=10**6, retention_ms=0, index=True)
extend = partial(operations.extend, TARGET, operation_id=b"once", retention_ms=0)


def make(target=TARGET, idle=0, ttl=SPAN, retention=0, cap=0, victims=(), owner=b"alice", reused=False):
    return operations.allocate(
        target, "a", ttl_ms=ttl, idle_ms=idle, owner=owner, user=ALICE, cap=cap, retention_ms=retention, create=True,
        victims=victims, reused=reused,
    )  # fmt: skip


def latest(deadline, **changes):
    """An extension up to a deadline of its own."""
    call = extend(**changes)
    return call._replace(argv=(*call.argv[:2], deadline, *call.argv[3:]))


def many(number):
    """So many fields of metadata."""
    return [part for index in range(number) for part in (b"m:%d" % index, b"1")]


def sweep(limit, *ended):
    index = (TARGET.index_keys.deadlines, TARGET.index_keys.users, TARGET.index_keys.sandboxes)
    records = [key for target in ended for key in (target.record, target.operations)]
    handles = [target.handle for target in ended]
    return Call(operations.SWEEP, (*index, *records), (b"a", limit, *handles))


FOUR = [make(target, ttl=SPAN + number) for number, target in enumerate(TARGETS)]
SCENARIOS = {
    "an idle session that is touched at half of its timeout": lambda now: [
        make(idle=701), 349, touch(), 1, touch(), 349, touch(), 1, touch(), touch(interval_ms=0),
    ],
    "an extension of an idle session": lambda now: [
        make(idle=700, retention=5), 300, touch(), extend(additional_ms=50), 100,
        extend(additional_ms=1, operation_id=b"x"), 600, touch(),
    ],
    "an extension to the latest deadline there may be": lambda now: [
        make(), latest(now + SPAN + 7, additional_ms=8), latest(now + SPAN + 7, additional_ms=7),
        latest(now + SPAN + 7, additional_ms=1), latest(now + SPAN + 7, additional_ms=1, operation_id=b"x"),
    ],
    "versions go up by one": lambda now: [
        make(), put(pairs=[b"m:a", b"1"], version=2), put(pairs=[b"m:a", b"1"], version=1), count_up(operation_id=b"1"),
        count_up(operation_id=b"1"), count_up(), extend(additional_ms=1), operations.read(TARGET),
        operations.delete(TARGET, version=4), operations.delete(TARGET, version=5),
    ],
    "a version that is nonsense": lambda now: [
        make(), put(pairs=[b"v", b"x"]), put(pairs=[]), count_up(), extend(additional_ms=1),
        operations.delete(TARGET, version=1), operations.delete(TARGET),
    ],
    "a counter at its ends": lambda now: [
        make(), put(pairs=[b"m:n", b"%d" % (LARGEST - 1)]), count_up(), count_up(), count_up(amount=0),
        count_up(amount=0, ceiling=1), count_up(amount=-1, ceiling=1), count_up(ceiling=1), count_up(amount=-LARGEST),
        put(pairs=[b"m:n", b"-%d" % LARGEST]), count_up(amount=-1), count_up(amount=0, operation_id=b"once"),
        *[step for text in ODD_NUMBERS for step in (put(pairs=[b"m:n", text]), count_up())],
    ],
    "a deletion clears the indexes": lambda now: [
        *FOUR, operations.delete(TARGET, owner=b"bob"), operations.delete(TARGET, owner=b"alice"),
        operations.delete(TARGET),
    ],
    "a pointer is cleared and nothing else": lambda now: [
        make(), operations.delete(TARGET, pointer=OTHER.handle), operations.rotate(TARGET, OTHER, grace_ms=500),
        operations.delete(TARGET), operations.delete(TARGET, pointer=TARGET.handle),
        operations.delete(TARGET, pointer=OTHER.handle),
    ],
    "the shortest grace periods": lambda now: [
        make(), operations.rotate(TARGET, OTHER, grace_ms=0), operations.read(TARGET), make(),
        operations.rotate(TARGET, TARGETS[2], grace_ms=1), operations.read(TARGET), 1, operations.read(TARGET),
    ],
    "lists, counts and sweeps at the moment of an end": lambda now: [
        *FOUR, SPAN - 1,
        *[step for _ in range(4) for step in (
            operations.list_(TARGET.index_keys, user=None, limit=2), operations.list_(TARGET.index_keys, user=ALICE, limit=2),
            operations.count(TARGET.index_keys, user=None), operations.count(TARGET.index_keys, user=ALICE), 1)],
        sweep(1), sweep(2, TARGET), sweep(9, *TARGETS[:3]), sweep(0, *TARGETS), sweep(9, *TARGETS),
    ],
    "a full cap with ended sessions, another's, and its own": lambda now: [
        make(TARGETS[0], ttl=5), make(TARGETS[1], owner=b"bob"), make(TARGETS[2]), 5,
        make(OTHERS[0], cap=2), make(OTHERS[0], cap=1), make(OTHERS[0], cap=1, victims=TARGETS[:2]),
        make(OTHERS[0], cap=1, victims=TARGETS), make(TARGETS[0], cap=1),
        make(TARGETS[0], cap=1, victims=[*TARGETS, *OTHERS]),
    ],
    "an ended session that is made again at a full cap": lambda now: [
        make(ttl=5, cap=1), 5, make(cap=1), make(cap=1, victims=[TARGET]),
    ],
    "many more sessions than the cap": lambda now: [
        *[make(target) for target in MANY], make(cap=2), make(cap=2, victims=MANY[:31]), make(cap=2, victims=MANY),
    ],
    "many ended sessions": lambda now: [*[make(target, ttl=5) for target in MANY[:17]], 5, make(), make(OTHER)],
    "sandboxes that are due, some at a time": lambda now: [
        *FOUR, make(keys.session_keys("b", "sess-alice-1700000000-07" + "0" * 32)), SPAN,
        *[Call(operations.DUE, (TARGET.index_keys.sandboxes,), (limit,)) for limit in (1, 2, 0)],
    ],
    "operation ids at the moment they stop counting": lambda now: [
        make(ttl=10**6), operations.carry(TARGET, [b"old", b"%d" % (now + 5), b"new", b"%d" % (now + 6)]), 5,
        count_up(operation_id=b"old"), 1, count_up(operation_id=b"new"), count_up(operation_id=b"old"), 1,
        count_up(operation_id=b"new"), extend(additional_ms=1), operations.EXTEND_WINDOW_MS, extend(additional_ms=1), 1,
        put(pairs=[b"m:n", b"9"], operation_id=b"once"), operations.ONCE_WINDOW_MS, count_up(operation_id=b"old"), 1,
        count_up(operation_id=b"old"), operations.read(TARGET, operation_ids=True),
    ],
    "operation ids move, go and are not inherited": lambda now: [
        make(), *[count_up(operation_id=b"%d" % number) for number in range(40)], count_up(operation_id=b"7"),
        operations.rotate(TARGET, OTHER, grace_ms=500), operations.read(OTHER, operation_ids=True),
        operations.delete(OTHER), make(), extend(additional_ms=1), SPAN + 1,
        make(reused=True), extend(additional_ms=1), operations.delete(TARGET),
    ],
    "sizes at the limit": lambda now: [
        make(), put(pairs=[b"m:a", b"12345"], limit=7), put(pairs=[b"m:a", b"12345"], limit=8),
        put(pairs=[b"m:a", b"54321"], limit=8), put(pairs=[b"m:b", b""], limit=8), put(pairs=[], limit=0),
        put(pairs=[b"m:b", b"1234"], removals=[b"m:a", b"m:a", b"m:c"], limit=7), put(pairs=many(1), limit=100),
        put(pairs=many(3), replace=True, limit=12), put(pairs=many(4), replace=True, limit=12),
        put(pairs=[b"m:3", b"1"], version=5, limit=15), put(pairs=[b"m:3", b"1"], version=5, limit=16),
    ],
    "counters at the limit": lambda now: [
        make(), count_up(limit=3), count_up(limit=4), count_up(amount=8, limit=4), count_up(limit=4),
        count_up(limit=5), count_up(amount=-10, limit=5), count_up(amount=-1, limit=5), count_up(amount=-9, limit=5),
        count_up(amount=-90, limit=5), count_up(amount=110, limit=0), put(pairs=[b"z", b"x"]), count_up(limit=3),
        count_up(amount=-900, limit=6), count_up(amount=-900, limit=7),
    ],
    "a bound that is missing or nonsense is counted again": lambda now: [
        make(), put(pairs=[*many(5), b"z", b"?"]), put(pairs=[b"m:0", b"2"], limit=19),
        put(pairs=[b"m:0", b"2"], limit=20), put(pairs=[b"m:0", b"33"], removals=[b"z"], limit=20),
        put(pairs=[b"m:0", b"33"], removals=[b"z"], limit=21), put(pairs=[b"m:1", b"2"], limit=21),
    ],
}  # fmt: skip


@pytest.fixture
async def worlds(any_server):
    clock = ManualClock(time.time_ns() // 1_000_000 + FAR_MS)
    emulator, server = EmulatorWorld(clock), ServerWorld(clock, any_server)
    with any_server.client() as client:
        yield emulator, server, client
    await server.close()


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_emulator_and_server_agree(worlds, scenario):
    emulator, server, client = worlds
    for number, step in enumerate(scenario(server.clock.now_ms())):
        if isinstance(step, int):
            await server.advance(ms=step)
            continue
        ours, theirs = await emulator.backend.run(step), await server.backend.run(step)
        assert comparable(step.operation, ours) == comparable(step.operation, theirs), (number, step)
        assert emulator.backend.snapshot() == on_server(client, server.clock.now_ms()), (number, step)
