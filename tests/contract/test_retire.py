"""retire: remove a reader."""

from __future__ import annotations

from chuk_sessions.core import reader_operations, statuses
from tests.harness.readers import START, claim, commit, emit, entries, lease_of, progress, trim
from tests.harness.strays import HOME


async def retire(world, reader=b"mailer"):
    return await world.backend.run(reader_operations.retire(HOME, reader))


async def test_removes_only_that_reader(world):
    await claim(world)
    await claim(world, reader=b"mail")
    await claim(world, reader=b"mailers")
    assert await retire(world) == [statuses.OK]
    assert list(await progress(world)) == [b"mail", b"mailers"]
    assert await retire(world) == [statuses.GONE]
    assert await retire(world, b"mail") == await retire(world, b"mailers") == [statuses.OK]
    assert await progress(world) == {}


async def test_a_removed_reader_keeps_no_events_and_cannot_commit(world):
    await emit(world, 3)
    found = await entries(world)
    dead, _ = await lease_of(world, reader=b"dead")
    lease, _ = await lease_of(world)
    await commit(world, lease, START, found[2], 3)
    assert await trim(world) == 0
    await retire(world, b"dead")
    assert await commit(world, dead, START, found[1], 2) == [statuses.GONE]
    assert await trim(world) == 2
