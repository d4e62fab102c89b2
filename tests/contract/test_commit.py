"""commit: move the cursor of a reader, and renew or release its lease."""

from __future__ import annotations

import pytest

from chuk_sessions.core import statuses
from tests.harness.readers import LEASE_MS, START, claim, commit, emit, entries, lease_of, progress


async def test_moves_the_cursor_and_renews_the_lease(world):
    await emit(world, 3)
    first, second, _ = await entries(world)
    lease, _ = await lease_of(world)
    await world.advance(ms=LEASE_MS - 1)
    assert await commit(world, lease, START, second, 2) == [statuses.OK, 0]
    assert await claim(world, b"two") == [statuses.HELD, LEASE_MS]
    found = (await progress(world))[b"mailer"]
    assert (found.cursor, found.unread, found.lost, found.owner) == (second, 1, 0, b"one")
    assert first < second < found.oldest


async def test_a_repeat_after_a_lost_reply_counts_events_once(world):
    await emit(world, 3)
    _, second, _ = await entries(world)
    lease, _ = await lease_of(world)
    for _ in range(2):
        assert await commit(world, lease, START, second, 2) == [statuses.OK, 0]
    assert (await progress(world))[b"mailer"].unread == 1


async def test_an_outdated_fence_moves_nothing(world):
    await emit(world)
    [only] = await entries(world)
    old, _ = await lease_of(world)
    new, _ = await lease_of(world)
    other, _ = await lease_of(world, reader=b"other")
    for lease in (old, new._replace(owner=b"two"), new._replace(fence=9), new._replace(reader=b"unknown")):
        assert await commit(world, lease, START, only, 1) == [statuses.GONE]
    assert (await progress(world))[b"mailer"].cursor == START
    assert await commit(world, new, START, only, 1) == [statuses.OK, 0]
    assert await commit(world, other, START, only, 1) == [statuses.OK, 0]


async def test_a_cursor_that_the_store_has_lost_is_refused(world):
    """After a failover, the new primary may lack the latest events, and the latest commits."""
    await emit(world, 2)
    first, second = await entries(world)
    ms = int(second.split(b"-")[0])
    lease, _ = await lease_of(world)
    assert await commit(world, lease, START, b"%d-0" % (ms + 1), 1) == [statuses.GONE]
    assert await commit(world, lease, START, first, 1) == [statuses.OK, 0]
    assert await commit(world, lease, START, second, 1) == [statuses.GONE]
    assert (await progress(world))[b"mailer"].cursor == first


async def test_a_released_lease_is_free(world):
    lease, _ = await lease_of(world)
    assert await commit(world, lease, START, START, lease_ms=0) == [statuses.OK, 0]
    assert (await progress(world))[b"mailer"].owner == b""
    assert await claim(world, b"two") == [statuses.OK, 2, START]


async def test_a_lease_that_has_ended_can_be_renewed_while_nobody_has_claimed_it(world):
    lease, _ = await lease_of(world)
    await world.advance(ms=10 * LEASE_MS)
    assert await commit(world, lease, START, START) == [statuses.OK, 0]
    assert await claim(world, b"two") == [statuses.HELD, LEASE_MS]


async def test_counts_what_was_dropped_at_the_cap(world):
    lease, _ = await lease_of(world)
    await emit(world, 350, max_events=100)
    found = await entries(world)
    dropped = 350 - len(found)
    assert dropped >= 100
    if (await progress(world))[b"mailer"].lost == 0:
        pytest.skip("Redis 6.2 does not count the entries of a stream")
    assert (await progress(world))[b"mailer"][2:5] == (len(found), found[0], dropped)
    # Events that the process received before they were dropped are not lost.
    assert await commit(world, lease, START, START, 0, dropped) == [statuses.OK, 0]
    assert await commit(world, lease, START, START, 0, 10) == [statuses.OK, dropped - 10]
    assert await commit(world, lease, START, found[-1], len(found)) == [statuses.OK, 10]
    assert (await progress(world))[b"mailer"][2:5] == (0, b"", dropped)
