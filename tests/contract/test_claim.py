"""claim: get the lease of a bucket for a reader."""

from __future__ import annotations

from chuk_sessions.core import statuses
from tests.harness.readers import LEASE_MS, START, claim, commit, emit, entries, lease_of, progress


async def test_only_one_process_holds_the_lease(world):
    assert await claim(world) == [statuses.OK, 1, START]
    await world.advance(ms=LEASE_MS - 1)
    assert await claim(world, b"two") == [statuses.HELD, 1]
    assert await claim(world, b"two", reader=b"other") == [statuses.OK, 1, START]


async def test_the_lease_ends_and_another_process_gets_a_higher_fence(world):
    lease, _ = await lease_of(world)
    await world.advance(ms=LEASE_MS)
    assert await claim(world, b"two") == [statuses.OK, 2, START]
    assert await claim(world) == [statuses.HELD, LEASE_MS]
    assert await commit(world, lease, START, START) == [statuses.GONE]


async def test_the_same_process_may_claim_again(world):
    await claim(world)
    assert await claim(world) == [statuses.OK, 2, START]


async def test_a_new_reader_begins_with_the_oldest_or_after_the_newest_event(world):
    await emit(world, 3)
    assert await claim(world) == [statuses.OK, 1, START]
    assert await claim(world, reader=b"late", newest=True) == [statuses.OK, 1, (await entries(world))[-1]]
    found = await progress(world)
    assert (found[b"mailer"].unread, found[b"late"].unread) == (3, 0)


async def test_a_reader_continues_where_it_was_even_if_it_asks_for_the_newest(world):
    await emit(world, 3)
    first, *_ = await entries(world)
    lease, _ = await lease_of(world)
    await commit(world, lease, START, first, 1)
    assert await claim(world, newest=True) == [statuses.OK, 2, first]


async def test_a_lease_from_before_the_clock_stepped_back_does_not_hold(world):
    await world.advance(hours=1)
    await claim(world)
    await world.advance(hours=-1)
    assert await claim(world, b"two") == [statuses.OK, 2, START]


async def test_a_lease_ends_when_the_clock_steps_forward(world):
    lease, _ = await lease_of(world)
    await world.advance(hours=1)
    assert (await commit(world, lease, START, START))[0] == statuses.OK  # nobody has claimed it meanwhile
    await world.advance(hours=1)
    assert await claim(world, b"two") == [statuses.OK, 2, START]
    assert await commit(world, lease, START, START) == [statuses.GONE]
