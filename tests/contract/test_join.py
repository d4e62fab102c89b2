"""join: register the processes of a reader."""

from __future__ import annotations

from chuk_sessions.core import reader_operations, statuses


async def members(world, member, lease_ms=1000, reader="mailer"):
    reply = await world.backend.run(reader_operations.join(7, reader, member, lease_ms=lease_ms))
    assert reply[0] == statuses.OK
    return reader_operations.members_of(reply)


async def test_lists_the_processes_with_the_time_since_they_registered(world):
    assert await members(world, b"one") == {b"one": 0}
    await world.advance(ms=400)
    assert await members(world, b"two") == {b"one": 400, b"two": 0}
    await world.advance(ms=400)
    assert await members(world, b"one") == {b"one": 0, b"two": 400}
    assert await members(world, b"three", reader="other") == {b"three": 0}


async def test_a_process_that_does_not_register_again_is_left_out(world):
    await members(world, b"one")
    await world.advance(ms=999)
    assert await members(world, b"two") == {b"one": 999, b"two": 0}
    await world.advance(ms=1)
    assert await members(world, b"two") == {b"two": 0}


async def test_a_process_leaves(world):
    await members(world, b"one")
    assert await members(world, b"one", 0) == {}
    assert await members(world, b"two") == {b"two": 0}


async def test_the_list_goes_when_no_process_is_left(world):
    await members(world, b"one")
    await world.advance(ms=10_000)
    assert await members(world, b"one", 0) == {}


async def test_after_the_clock_stepped_back_a_time_is_negative(world):
    await world.advance(hours=2)
    await members(world, b"one")
    await world.advance(hours=-1)
    assert await members(world, b"two") == {b"one": -3_600_000, b"two": 0}
