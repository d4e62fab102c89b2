"""Leases: processes of a reader share the buckets, and take over from each other."""

from __future__ import annotations

import asyncio
import time

from chuk_sessions import SessionManager
from chuk_sessions.core import ids
from chuk_sessions.events import EventReaders, SessionEvents
from chuk_sessions.events.leases import share
from tests.harness.readers import take

LEASE_SECONDS = 2.0
MEMBERS = [b"%d" % number for number in range(5)]


def reader(source):
    return SessionEvents(source, reader="mailer", lease_seconds=LEASE_SECONDS)


async def hang(events):
    """Stop all background work of a reader, as in a process whose event loop is blocked."""
    for task in events._upkeep._tasks:
        task.cancel()
    await asyncio.sleep(0)
    events._upkeep._tasks = []


async def create(source, number):
    async with SessionManager("test", source, events=True) as manager:
        return {await manager.allocate_session() for _ in range(number)}


async def until(source, condition):
    """Wait until the progress of the reader meets a condition."""
    readers, give_up = EventReaders(source), time.monotonic() + 30
    while not condition((await readers.list())[0]):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)
    await readers.aclose()


def test_shares_are_disjoint_and_cover_all_buckets():
    shares = {member: share(member, MEMBERS) for member in MEMBERS}
    assert sorted(bucket for mine in shares.values() for bucket in mine) == list(range(ids.BUCKETS))
    assert all(len(mine) > 20 for mine in shares.values())


def test_when_a_process_leaves_only_its_share_moves():
    before = {member: set(share(member, MEMBERS)) for member in MEMBERS}
    assert all(before[member] <= set(share(member, MEMBERS[1:])) for member in MEMBERS[1:])


async def test_others_take_over_from_a_process_that_hangs_and_it_cannot_commit(source):
    async with reader(source) as hanging:
        await create(source, 1)
        [event] = await take(hanging, 1)
        await hang(hanging)
        hung_at = time.monotonic()
        async with reader(source) as other:
            assert await take(other, 1) == [event]
            assert time.monotonic() - hung_at < LEASE_SECONDS + 5  # a busy machine is late
            assert await other.acknowledge()
            assert not await hanging.acknowledge()
        waiting = asyncio.create_task(anext(hanging))
        await create(source, 3)
        await asyncio.sleep(0.2)
        assert not waiting.done()  # its leases have ended, so it delivers nothing
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_process_does_not_deliver_what_it_received_before_its_lease_ended(source):
    async with reader(source) as hanging:
        await create(source, 300)
        first = await take(hanging, 5)
        assert await hanging.acknowledge()
        await hang(hanging)
        async with reader(source) as other:
            rest = await take(other, 295)
        assert not {event.id for event in first} & {event.id for event in rest}
        assert len({event.id for event in rest}) == 295
        hanging.stop()
        assert [event async for event in hanging] == []


async def test_a_bucket_is_not_handed_over_while_an_event_of_it_is_handled(source):
    async with reader(source) as one:
        await create(source, 20)
        handled = await take(one, 1)
        async with reader(source) as two:
            await until(source, lambda mailer: mailer.processes == 2)
            two_reads = asyncio.create_task(_read(two, 20))
            one_reads = asyncio.create_task(_read(one, 20))
            await until(source, lambda mailer: mailer.lag_events == 0)
            one.stop()
            two.stop()
            found = handled + await one_reads + await two_reads
    assert sorted(event.id for event in found) == sorted({event.id for event in found})
    assert len(found) == 20


async def _read(events, number):
    return [event async for event in events][:number]
