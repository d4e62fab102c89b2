"""Emulator and server at the edges that random steps seldom meet: limits, exact times, records with many fields.

After each call, the test compares the replies and all keys, as the state machine does.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import (
    data_operations,
    ids,
    index_operations,
    keys,
    modes,
    operation_ids,
    operations,
    rate_limits,
    record,
)
from chuk_sessions.core.durations import LATEST_MS
from chuk_sessions.core.operation import Call
from tests.equivalence.comparison import FAR_MS, comparable, keys_on_server, remove_expired
from tests.harness.worlds import EmulatorWorld, ServerWorld

ALICE = ids.user_hash("alice")
TARGETS = [keys.session_keys("a", f"sess-alice-{1_700_000_000 + number}-07{number:032x}") for number in range(4)]
TARGET, OTHER = TARGETS[:2]
OTHERS = [keys.session_keys("a", f"sess-alice-{1_700_000_100 + number}-07{number:032x}") for number in range(2)]
MANY = [keys.session_keys("a", f"sess-alice-{1_700_000_200 + number}-07{number:032x}") for number in range(50)]
LARGEST = 2**53 - 1
TTL = 10_000
ODD_NUMBERS = (b"0" * 17, b"0" * 18, b"-" + b"0" * 16, b"-" + b"0" * 17, b"", b"-", b"1\n")

put = partial(data_operations.merge, TARGET)
increment = partial(data_operations.increment, TARGET, field=b"m:n", amount=1, ceiling=None, operation_id=b"")
append = partial(data_operations.append, TARGET, field=b"m:n")
limit = partial(rate_limits.rate_limit, TARGET, field=b"l:x", rate=rate_limits.rate(2, 1, None, 1), operation_id=b"")
load = partial(operations.load, TARGET, retention_ms=5)
restart = operations.Lifetime(50, 40, 7, 10_000, record.KEPT_AT_LOGIN)
touch = partial(operations.validate, TARGET, interval_ms=10**6, retention_ms=0, index=True)
extend = partial(operations.extend, TARGET, operation_id=b"once", retention_ms=0)


def create(target=TARGET, idle=0, ttl=TTL, retention=0, cap=0, victims=(), owner=b"alice", reused=True, **more):
    return operations.allocate(
        target, "a", ttl_ms=ttl, idle_ms=idle, owner=owner, user=ALICE, cap=cap, retention_ms=retention,
        **{"create": True, "victims": victims, "reused": reused, **more},
    )  # fmt: skip


def replace(number, **more):
    """Return an attempt at replacing a session. Attempts with the same number are of one call."""
    return create(mode=modes.REPLACE, operation_id=b"%d" % number, pairs=[b"m:%d" % number, b"1"], **more)


def extend_to(deadline, **changes):
    """Return an extension with a latest deadline."""
    call = extend(**changes)
    return call._replace(argv=(*call.argv[:2], deadline, *call.argv[3:]))


def fields(number):
    """Return the field-value pairs of metadata with `number` keys."""
    return [part for index in range(number) for part in (b"m:%d" % index, b"1")]


def sweep(limit, *expired):
    own = TARGET.index_keys
    index = (own.deadlines, own.users, own.sandboxes, own.events)
    records = [key for target in expired for key in (target.record, target.operations)]
    handles = [target.handle for target in expired]
    return Call(index_operations.SWEEP, (*index, *records), (b"a", limit, *handles))


FOUR = [create(target, ttl=TTL + number) for number, target in enumerate(TARGETS)]
SCENARIOS = {
    "an idle session touched at half of its timeout": lambda now: [
        create(idle=701), 349, touch(), 1, touch(), 349, touch(), 1, touch(), touch(interval_ms=0),
    ],
    "an extension of an idle session": lambda now: [
        create(idle=700, retention=5), 300, touch(), extend(additional_ms=50), 100,
        extend(additional_ms=1, operation_id=b"x"), 600, touch(),
    ],
    "an extension up to the latest deadline": lambda now: [
        create(), extend_to(now + TTL + 7, additional_ms=8), extend_to(now + TTL + 7, additional_ms=7),
        extend_to(now + TTL + 7, additional_ms=1), extend_to(now + TTL + 7, additional_ms=1, operation_id=b"x"),
    ],
    "a deadline set to each side of the idle timeout": lambda now: [
        create(idle=700, retention=5), 300, *[step for ttl in (399, 400, 401, 1, LATEST_MS) for step in (
            operations.set_ttl(TARGET, ttl_ms=ttl, retention_ms=3), operations.read(TARGET),
            index_operations.due(TARGET.index_keys.sandboxes))],
        399, load(interval_ms=0, index=True), 701, operations.set_ttl(TARGET, ttl_ms=1, retention_ms=0),
    ],
    "a session loaded at half of its idle timeout": lambda now: [
        create(idle=701), 349, load(interval_ms=10**6, index=False), 1, load(interval_ms=10**6, index=False),
        load(interval_ms=10**6, index=True), -1, load(interval_ms=0, index=True), create(OTHER),
        operations.load(OTHER, 0, 0, False), 1, operations.load(OTHER, 0, 0, False),
    ],
    "requests at the edges of a rate limit": lambda now: [
        create(), limit(limit=17), limit(limit=18), limit(limit=18), limit(limit=18), 499, limit(limit=0), 1,
        limit(limit=0), limit(limit=0), 1001, limit(limit=0, operation_id=b"once"),
        limit(limit=0, operation_id=b"once"), limit(limit=0), limit(limit=0, operation_id=b"twice"),
        operations.read(TARGET),
    ],
    "a rate limit whose field is damaged or from another time": lambda now: [
        create(), *[step for text in (*ODD_NUMBERS, b"-5", b"7", b"9" * 15, b"9" * 16) for step in (
            put(pairs=[b"l:x", text]), limit(limit=20), operations.read(TARGET))],
        put(pairs=[b"l:x", b"7", b"z", b""]), limit(limit=17), limit(limit=18), operations.read(TARGET),
    ],
    "logins in the same bucket": lambda now: [
        create(idle=700, retention=5), put(pairs=[b"m:a", b"1", b"l:x", b"5", b"g:j", b"6", b"s", b"salt", b"?", b""]),
        extend(additional_ms=1), 20, operations.rotate(TARGET, OTHER, grace_ms=0, lifetime=restart),
        operations.read(OTHER, operation_ids=True), index_operations.due(TARGET.index_keys.sandboxes),
        operations.rotate(TARGET, OTHER, grace_ms=0, lifetime=restart),
        operations.rotate(OTHER, TARGET, grace_ms=30, created=now, lifetime=restart),
        operations.rotate(OTHER, TARGET, grace_ms=30, lifetime=restart._replace(ttl_ms=LATEST_MS, idle_ms=0, kept=())),
        operations.read(TARGET), operations.read(OTHER), create(OTHER), put(pairs=[b"v", b"x"]),
        operations.rotate(TARGET, OTHERS[0], grace_ms=0, lifetime=restart),
    ],
    "versions increase by one": lambda now: [
        create(), put(pairs=[b"m:a", b"1"], version=2), put(pairs=[b"m:a", b"1"], version=1),
        increment(operation_id=b"1"), increment(operation_id=b"1"), increment(), extend(additional_ms=1),
        operations.read(TARGET),
        operations.delete(TARGET, version=4), operations.delete(TARGET, version=5),
    ],
    "expected values, and a deadline that moves with them": lambda now: [
        create(idle=700, retention=5), put(pairs=[b"m:a", b"1"], expected=[b"m:a", b""], ttl_ms=500, retention_ms=7),
        put(pairs=[b"m:a", b"2"], expected=[b"m:a", b"2", b"m:b", b"", b"m:a", b"3"], ttl_ms=1, operation_id=b"x"),
        put(pairs=[b"m:b", b"2"], expected=[b"m:a", b"1", b"m:b", b""], ttl_ms=900, operation_id=b"x", retention_ms=7),
        put(pairs=[], ttl_ms=1, operation_id=b"x"), put(pairs=[b"m:n", b"1"]), increment(),
        put(pairs=[], expected=[b"m:n", b"2", b"v", b"5"], removals=[b"m:n"], version=5),
        put(pairs=[], ttl_ms=LATEST_MS - now), put(pairs=[], ttl_ms=LATEST_MS - now + 1),
        put(pairs=[], ttl_ms=100, operation_id=b"y", window_ms=5), 5, put(pairs=[], ttl_ms=95, operation_id=b"y"),
        operations.read(TARGET, operation_ids=True), 94, touch(), 1, touch(),
    ],
    "operation ids with different windows": lambda now: [
        create(ttl=10**7), put(pairs=[], operation_id=b"long"), 9,
        put(pairs=[], operation_id=b"short", window_ms=operation_ids.TRANSFORM_WINDOW_MS),
        operation_ids.TRANSFORM_WINDOW_MS, put(pairs=[], operation_id=b"long"), put(pairs=[], operation_id=b"short"),
    ],
    "lists at their ends and limits": lambda now: [
        create(), append(items=b""), append(items=b""), append(items=b"1"), append(items=b""), append(items=b"2"),
        append(items=b"3", most=6), append(items=b"3", most=7), append(items=b"3", limit=14),
        append(items=b"4", limit=15), append(items=b"5", operation_id=b"x"), append(items=b"5", operation_id=b"x"),
        *[step for text in (b"[", b"]", b"", b"[]", b"[x", b"x]", b"{}", b"7", b" []") for step in (
            put(pairs=[b"m:n", text]), append(items=b"1"), append(items=b"", operation_id=b"x"))],
        put(pairs=[b"z", b"x"]), append(items=b"1"), put(pairs=[b"v", b"x"]), append(items=b"1"),
    ],
    "an invalid version": lambda now: [
        create(), put(pairs=[b"v", b"x"]), put(pairs=[]), increment(), extend(additional_ms=1),
        operations.delete(TARGET, version=1), operations.delete(TARGET),
    ],
    "an empty version or size": lambda now: [
        create(), put(pairs=[b"z", b""]), put(pairs=[b"m:a", b"1"]), put(pairs=[b"z", b""]), increment(),
        put(pairs=[b"v", b""]), put(pairs=[b"m:a", b"1"]), put(pairs=[b"m:a", b"1"], version=1), increment(),
        extend(additional_ms=1), operations.rotate(TARGET, OTHER, grace_ms=0), operations.delete(OTHER, version=0),
    ],
    "an empty time": lambda now: [
        step for field in (b"d", b"a", b"i", b"c") for step in (
            create(idle=700), put(pairs=[field, b""]), operations.read(TARGET), touch(), 1, put(pairs=[b"m:a", b"1"]),
            increment(), extend(additional_ms=1), create(idle=700), operations.delete(TARGET),
        )
    ],
    "a counter at the ends of its range": lambda now: [
        create(), put(pairs=[b"m:n", b"%d" % (LARGEST - 1)]), increment(), increment(), increment(amount=0),
        increment(amount=0, ceiling=1), increment(amount=-1, ceiling=1), increment(ceiling=1),
        increment(amount=-LARGEST), put(pairs=[b"m:n", b"-%d" % LARGEST]), increment(amount=-1),
        increment(amount=0, operation_id=b"once"),
        *[step for text in ODD_NUMBERS for step in (put(pairs=[b"m:n", text]), increment())],
    ],
    "a deletion clears the indexes": lambda now: [
        *FOUR, operations.delete(TARGET, owner=b"bob"), operations.delete(TARGET, owner=b"alice"),
        operations.delete(TARGET),
    ],
    "clearing a pointer": lambda now: [
        create(), operations.delete(TARGET, pointer=OTHER.handle), operations.rotate(TARGET, OTHER, grace_ms=500),
        operations.delete(TARGET), operations.delete(TARGET, pointer=TARGET.handle),
        operations.delete(TARGET, pointer=OTHER.handle),
    ],
    "rotations of a session created at a time": lambda now: [
        create(), operations.rotate(TARGET, OTHER, grace_ms=0, created=now + 1), operations.read(OTHER),
        operations.rotate(TARGET, OTHER, grace_ms=0, created=now), operations.read(OTHER),
        operations.rotate(TARGET, OTHER, grace_ms=0, created=now + 1),
    ],
    "the shortest grace periods": lambda now: [
        create(), operations.rotate(TARGET, OTHER, grace_ms=0), operations.read(TARGET), create(),
        operations.rotate(TARGET, TARGETS[2], grace_ms=1), operations.read(TARGET), 1, operations.read(TARGET),
    ],
    "lists, counts and sweeps at the time of expiration": lambda now: [
        *FOUR, TTL - 1,
        *[step for _ in range(4) for step in (
            index_operations.list_(TARGET.index_keys, user=None, limit=2),
            index_operations.list_(TARGET.index_keys, user=ALICE, limit=2),
            index_operations.count(TARGET.index_keys, user=None),
            index_operations.count(TARGET.index_keys, user=ALICE), 1)],
        sweep(1), sweep(2, TARGET), sweep(9, *TARGETS[:3]), sweep(0, *TARGETS), sweep(9, *TARGETS),
    ],
    "creations in the same ms and later": lambda now: [
        *[replace(number) for number in range(17)], replace(16), replace(0), replace(1), 1, replace(17), 1, replace(18),
        replace(3), replace(4), operations.delete(TARGET), replace(18), replace(19), replace(18),
        modes.CREATION_WINDOW_MS - 1, replace(19), 1, replace(19),
    ],
    "modes on live, expired, damaged and moved sessions": lambda now: [
        step for mode in (modes.TOUCH, modes.CREATE, modes.REPLACE) for step in (
            create(mode=mode, operation_id=b"1", idle=700), put(pairs=[b"m:a", b"1"]), increment(operation_id=b"x"),
            create(mode=mode, owner=b"bob"), create(mode=mode, owner=b""), operations.read(TARGET, operation_ids=True),
            TTL, create(mode=mode, create=False), create(mode=mode), put(pairs=[b"v", b"?"]), create(mode=mode),
            put(pairs=[b"v", b"5", b"c", b""]), create(mode=mode), put(pairs=[b"d", b"?"]), create(mode=mode),
            operations.delete(TARGET), create(), operations.rotate(TARGET, OTHER, grace_ms=500), create(mode=mode),
            create(OTHER, mode=mode, create=False), operations.delete(OTHER), operations.delete(TARGET),
            operations.delete(TARGET, pointer=OTHER.handle),
        )
    ],
    "a full cap and a session that is replaced": lambda now: [
        *FOUR, replace(1, cap=4), replace(2, cap=3), replace(3, cap=3, victims=TARGETS),
        replace(4, cap=1, owner=b"bob"), replace(5, cap=1, owner=b"bob", victims=TARGETS),
    ],
    "marked entries at the time of expiration": lambda now: [
        create(TARGETS[0], events=10_000), create(TARGETS[1]), create(TARGETS[2], idle=700, events=10_000),
        create(TARGETS[3], ttl=TTL + 1, events=10_000), touch(), operations.validate(TARGETS[2], 0, 0, True),
        operations.extend(TARGETS[2], additional_ms=1, operation_id=b"x", retention_ms=0),
        operations.rotate(TARGETS[1], OTHERS[0], grace_ms=0), operations.rotate(TARGETS[0], OTHERS[1], grace_ms=0),
        *[step for wait in (699, 1, TTL - 701, 1, 1) for step in (
            wait, index_operations.list_(TARGET.index_keys, user=None, limit=2),
            index_operations.list_(TARGET.index_keys, user=ALICE, limit=2),
            index_operations.count(TARGET.index_keys, user=None), index_operations.count(TARGET.index_keys, user=ALICE),
            index_operations.due(TARGET.index_keys.sandboxes), sweep(1), sweep(9))],
        sweep(9, *OTHERS), sweep(9, *TARGETS), sweep(9),
    ],
    "a full cap with expired sessions, another user's, and the user's own": lambda now: [
        create(TARGETS[0], ttl=5), create(TARGETS[1], owner=b"bob"), create(TARGETS[2]), 5,
        create(OTHERS[0], cap=2), create(OTHERS[0], cap=1), create(OTHERS[0], cap=1, victims=TARGETS[:2]),
        create(OTHERS[0], cap=1, victims=TARGETS), create(TARGETS[0], cap=1),
        create(TARGETS[0], cap=1, victims=[*TARGETS, *OTHERS]),
    ],
    "an expired session created again at a full cap": lambda now: [
        create(ttl=5, cap=1), 5, create(cap=1), create(cap=1, victims=[TARGET]),
    ],
    "many more sessions than the cap": lambda now: [
        *[create(target) for target in MANY],
        create(cap=2), create(cap=2, victims=MANY[:31]), create(cap=2, victims=MANY),
    ],
    "many expired sessions": lambda now: [*[create(target, ttl=5) for target in MANY[:17]], 5, create(), create(OTHER)],
    "many expired and marked sessions": lambda now: [
        *[create(target, ttl=5, events=10_000 * (number % 2)) for number, target in enumerate(MANY[:17])], 5, create(),
    ],
    "due sandboxes, in pages": lambda now: [
        *FOUR, create(keys.session_keys("b", "sess-alice-1700000000-07" + "0" * 32)), TTL,
        *[Call(index_operations.DUE, (TARGET.index_keys.sandboxes,), (limit,)) for limit in (1, 2, 0)],
    ],
    "operation ids at their expiration": lambda now: [
        create(ttl=10**6), operations.carry(TARGET, [b"old", b"%d" % (now + 5), b"new", b"%d" % (now + 6)]), 5,
        increment(operation_id=b"old"), 1, increment(operation_id=b"new"), increment(operation_id=b"old"), 1,
        increment(operation_id=b"new"), extend(additional_ms=1), operation_ids.EXTEND_WINDOW_MS,
        extend(additional_ms=1), 1, put(pairs=[b"m:n", b"9"], operation_id=b"once"), operation_ids.ONCE_WINDOW_MS,
        increment(operation_id=b"old"), 1, increment(operation_id=b"old"), operations.read(TARGET, operation_ids=True),
    ],
    "operation ids move with a rotation and are not inherited": lambda now: [
        create(), *[increment(operation_id=b"%d" % number) for number in range(40)], increment(operation_id=b"7"),
        operations.rotate(TARGET, OTHER, grace_ms=500), operations.read(OTHER, operation_ids=True),
        operations.delete(OTHER), create(), extend(additional_ms=1), TTL + 1,
        create(), extend(additional_ms=1), operations.delete(TARGET),
    ],
    "sizes at the limit": lambda now: [
        create(), put(pairs=[b"m:a", b"12345"], limit=7), put(pairs=[b"m:a", b"12345"], limit=8),
        put(pairs=[b"m:a", b"54321"], limit=8), put(pairs=[b"m:b", b""], limit=8), put(pairs=[], limit=0),
        put(pairs=[b"m:b", b"1234"], removals=[b"m:a", b"m:a", b"m:c"], limit=7), put(pairs=fields(1), limit=100),
        put(pairs=fields(3), replace=True, limit=12), put(pairs=fields(4), replace=True, limit=12),
        put(pairs=[b"m:3", b"1"], version=5, limit=15), put(pairs=[b"m:3", b"1"], version=5, limit=16),
    ],
    "counters at the limit": lambda now: [
        create(), increment(limit=3), increment(limit=4), increment(amount=8, limit=4), increment(limit=4),
        increment(limit=5), increment(amount=-10, limit=5), increment(amount=-1, limit=5),
        increment(amount=-9, limit=5), increment(amount=-90, limit=5), increment(amount=110, limit=0),
        put(pairs=[b"z", b"x"]), increment(limit=3), increment(amount=-900, limit=6), increment(amount=-900, limit=7),
    ],
    "a missing or invalid size is computed again": lambda now: [
        create(), put(pairs=[*fields(5), b"z", b"?"]), put(pairs=[b"m:0", b"2"], limit=19),
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
            remove_expired(client, server.clock.now_ms())
            continue
        ours, theirs = await emulator.backend.run(step), await server.backend.run(step)
        assert comparable(step.operation, ours) == comparable(step.operation, theirs), (number, step)
        assert emulator.backend.snapshot() == keys_on_server(client, server.clock.now_ms()), (number, step)
