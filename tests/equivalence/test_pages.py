"""Pages of the indexes: emulator and server give the same pages, even while entries move, and they omit no entry that
stays.
"""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.core import ids, index_operations, keys, operations
from tests.equivalence.comparison import FAR_MS
from tests.fuzz.cases import FUZZ
from tests.harness.worlds import EmulatorWorld, ServerWorld

ALICE = ids.user_hash("alice")
TARGETS = [
    keys.session_keys("a", f"sess-alice-{1_700_000_000 + number}-07{number * 7919 % 99991:032x}")
    for number in range(24)
]
INDEX = TARGETS[0].index_keys
TTLS = st.sampled_from([1000, 1000, 1000, 1001, 2000, 3000])
"""Times to live in ms: many sessions expire in the same millisecond."""
CHANGES = st.tuples(st.sampled_from(["delete", "extend", "wait"]), st.sampled_from(TARGETS))


def allocate(target, ttl):
    return operations.allocate(
        target, "a", ttl_ms=ttl, idle_ms=0, owner=b"alice", user=ALICE, cap=0, retention_ms=0, create=True,
        events=10_000 * (target.handle[0] % 2),
    )  # fmt: skip


def change(name, target, number):
    if name == "delete":
        return operations.delete(target)
    return operations.extend(target, additional_ms=500, operation_id=b"op%d" % number, retention_ms=0)


class Pair:
    """An emulator and a server that run the same calls."""

    def __init__(self, any_server):
        clock = ManualClock(time.time_ns() // 1_000_000 + FAR_MS)
        self.emulator, self.server = EmulatorWorld(clock), ServerWorld(clock, any_server)

    async def run(self, call):
        ours, theirs = await self.emulator.backend.run(call), await self.server.backend.run(call)
        assert ours == theirs, call
        return ours

    async def read_pages(self, user, limit, changes):
        """Read all pages, with one change after each. Return the listed handles and the deleted ones."""
        listed, after, changes, deleted = [], (), list(changes), set()
        while True:
            reply = await self.run(index_operations.list_(INDEX, user=user, limit=limit, after=after))
            counted = await self.run(
                index_operations.count(INDEX, user=ALICE, limit=limit, after=after if user else ())
            )
            assert user is None or counted[1:] == [len(reply[1]), *reply[2:]]
            listed += reply[1]
            after = index_operations.cursor(reply)
            if after is None:
                return listed, deleted
            if changes:
                name, target = changes.pop()
                if name == "wait":
                    await self.server.advance(ms=500)
                else:
                    await self.run(change(name, target, len(changes)))
                    deleted |= {target.handle} if name == "delete" else set()


async def compare(any_server, ttls, user, limit, changes):
    pair = Pair(any_server)
    try:
        for target, ttl in zip(TARGETS, ttls, strict=False):
            await pair.run(allocate(target, ttl))
        listed, deleted = await pair.read_pages(user, limit, changes)
        left, _ = await pair.read_pages(user, 100, ())
        assert set(left) - deleted <= set(listed)
        if not any(name == "extend" for name, _ in changes):
            assert len(listed) == len(set(listed))
    finally:
        await pair.server.close()


def test_pages_are_the_same_and_omit_nothing(any_server):
    with asyncio.Runner() as runner:

        @FUZZ
        @given(
            st.lists(TTLS, max_size=len(TARGETS)),
            st.sampled_from([None, ALICE]),
            st.integers(1, 5),
            st.lists(CHANGES, max_size=6),
        )
        def check(ttls, user, limit, changes):
            runner.run(compare(any_server, ttls, user, limit, changes))

        check()
