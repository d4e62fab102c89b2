"""progress: tell how far each reader is."""

from __future__ import annotations

from chuk_sessions.core import reader_operations, statuses
from tests.harness.readers import LEASE_MS, START, commit, emit, entries, lease_of, progress
from tests.harness.strays import HOME


async def test_lists_readers_by_name(world):
    for name in (b"b", b"c", b"a^test"):
        await lease_of(world, reader=name)
    assert list(await progress(world)) == [b"a^test", b"b", b"c"]


async def test_is_empty_without_readers(world):
    await emit(world)
    now = world.clock.now_ms()
    assert await world.backend.run(reader_operations.progress(HOME)) == [statuses.OK, now, []]


async def test_tells_what_is_unread_and_who_reads(world):
    await emit(world, 3)
    found = await entries(world)
    lease, _ = await lease_of(world)
    await commit(world, lease, START, found[0], 1)
    assert await progress(world) == {b"mailer": (b"mailer", found[0], 2, found[1], 0, b"one")}
    await world.advance(ms=LEASE_MS)
    assert await progress(world) == {b"mailer": (b"mailer", found[0], 2, found[1], 0, b"")}
