"""trim: remove the events that every reader has read."""

from __future__ import annotations

from tests.harness.readers import START, commit, emit, entries, lease_of, progress, trim


async def test_removes_what_the_slowest_reader_has_read_except_for_the_last_one(world):
    await emit(world, 5)
    found = await entries(world)
    fast, _ = await lease_of(world, reader=b"fast")
    slow, _ = await lease_of(world, reader=b"slow")
    await commit(world, fast, START, found[4], 5)
    assert await trim(world) == 0
    await commit(world, slow, START, found[2], 3)
    assert await trim(world) == 2
    assert await entries(world) == found[2:]
    assert [one.unread for one in (await progress(world)).values()] == [0, 2]


async def test_removes_nothing_without_a_reader(world):
    await emit(world, 3)
    assert await trim(world) == 0
    assert len(await entries(world)) == 3


async def test_trimmed_events_do_not_count_as_lost(world):
    await emit(world, 3)
    found = await entries(world)
    lease, _ = await lease_of(world)
    await commit(world, lease, START, found[2], 3)
    assert await trim(world) == 2
    await emit(world, 2)
    last = (await entries(world))[-1]
    assert await commit(world, lease, found[2], last, 2) == [1, 0]
    assert await trim(world) == 2
    assert (await progress(world))[b"mailer"][2:5] == (0, b"", 0)


async def test_a_reader_that_comes_later_has_not_lost_what_was_trimmed_before(world):
    await emit(world, 3)
    found = await entries(world)
    lease, _ = await lease_of(world)
    await commit(world, lease, START, found[2], 3)
    await trim(world)
    late, cursor = await lease_of(world, reader=b"late")
    assert (await progress(world))[b"late"][2:5] == (1, found[2], 0)
    assert await commit(world, late, cursor, found[2], 1) == [1, 0]
    assert (await progress(world))[b"late"][2:5] == (0, b"", 0)
