"""Pages of the indexes: emulator and server give the same pages, also while entries move, and no entry is left out that
stays.
"""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import ids, keys, operations
from tests.equivalence.test_state_machine import FAR_MS
from tests.fuzz.cases import FUZZ
from tests.harness.worlds import EmulatorWorld, ServerWorld

ALICE = ids.user_hash("alice")
PLACES = [
    keys.session_keys("a", f"sess-alice-{1_700_000_000 + number}-07{number * 7919 % 99991:032x}")
    for number in range(24)
]
AT = PLACES[0].index_keys
ENDS = st.sampled_from([1000, 1000, 1000, 1001, 2000, 3000])
"""Milliseconds to live: many sessions end in the same one."""
CHANGES = st.tuples(st.sampled_from(["delete", "extend", "wait"]), st.sampled_from(PLACES))


def allocate(place, ttl):
    return operations.allocate(
        place, "a", ttl_ms=ttl, idle_ms=0, owner=b"alice", user=ALICE, cap=0, retention_ms=0, create=True
    )


def change(name, place, number):
    if name == "delete":
        return operations.delete(place)
    return operations.extend(place, additional_ms=500, operation_id=b"op%d" % number, retention_ms=0)


class Pair:
    """An emulator and a server that do the same."""

    def __init__(self, any_server):
        clock = ManualClock(time.time_ns() // 1_000_000 + FAR_MS)
        self.emulator, self.server = EmulatorWorld(clock), ServerWorld(clock, any_server)

    async def run(self, call):
        ours, theirs = await self.emulator.backend.run(call), await self.server.backend.run(call)
        assert ours == theirs, call
        return ours

    async def walk(self, user, limit, changes):
        """All pages, with one change after each. Returns handles, and those that were deleted or have ended."""
        found, after, changes, gone = [], (), list(changes), set()
        while True:
            reply = await self.run(operations.list_(AT, user=user, limit=limit, after=after))
            counted = await self.run(operations.count(AT, user=ALICE, limit=limit, after=after if user else ()))
            assert user is None or counted[1:] == [len(reply[1]), *reply[2:]]
            found += reply[1]
            after = operations.cursor(reply)
            if after is None:
                return found, gone
            if changes:
                name, place = changes.pop()
                if name == "wait":
                    await self.server.advance(ms=500)
                else:
                    await self.run(change(name, place, len(changes)))
                    gone |= {place.handle} if name == "delete" else set()


async def compare(any_server, ends, user, limit, changes):
    pair = Pair(any_server)
    try:
        for place, ttl in zip(PLACES, ends, strict=False):
            await pair.run(allocate(place, ttl))
        found, gone = await pair.walk(user, limit, changes)
        left, _ = await pair.walk(user, 100, ())
        assert set(left) - gone <= set(found)
        if not any(name == "extend" for name, _ in changes):
            assert len(found) == len(set(found))
    finally:
        await pair.server.close()


def test_pages_are_the_same_and_leave_nothing_out(any_server):
    with asyncio.Runner() as executor:

        @FUZZ
        @given(
            st.lists(ENDS, max_size=len(PLACES)),
            st.sampled_from([None, ALICE]),
            st.integers(1, 5),
            st.lists(CHANGES, max_size=6),
        )
        def check(ends, user, limit, changes):
            executor.execute(compare(any_server, ends, user, limit, changes))

        check()
