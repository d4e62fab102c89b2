"""Readers of a store with damage: everything else is delivered."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import CorruptRecordError, SessionManager, session_hash
from chuk_sessions.core import ids, keys
from chuk_sessions.events import SessionEvents
from chuk_sessions.events.names import reader_name
from chuk_sessions.providers import redis
from tests.harness.readers import take, until
from tests.harness.strays import id_in
from tests.redis.tools import connections_named


@pytest.fixture
def source(server):
    return redis.factory(server.url)


async def create(source, *buckets):
    """Create a session in each of the buckets. Return their hashes."""
    async with SessionManager("test", source, events=True) as manager:
        return {session_hash(await manager.allocate_session(id_in(bucket))) for bucket in buckets}


async def hashes(events, number):
    return {event.session_hash for event in await take(events, number)}


@pytest.mark.parametrize(
    "fields",
    [
        ("unknown", "entry"),
        ("test", b"\xff\xfe", "k", "c1", "c", "1", "d", "1", "u", ""),
        (b"\xff", "handle", "k", "c1", "c", "1", "d", "1", "u", ""),
        ("test", "handle", "k", b"r1 \xff", "c", "1", "d", "1", "u", ""),
        ("test", "handle", "k", "c1", "c", "1", "d", "1", "u", b"\xff"),
    ],
)
async def test_an_entry_that_no_script_has_written_does_not_stop_the_reader(server, source, fields):
    with server.client() as client:
        client.execute_command("XADD", keys.events(7), "*", *fields)
    expected = await create(source, 7)
    async with SessionEvents(source, reader="mailer") as events:
        event = (await take(events, 1))[0]
        while event.session_hash not in expected:  # what can be read is delivered
            event = (await take(events, 1))[0]


async def test_a_damaged_stream_does_not_keep_the_events_of_others(server, source):
    with server.client() as client:
        client.set(keys.events(7), "damaged")
    expected = await create(source, 8, 9)
    async with SessionEvents(source, reader="mailer") as events:
        assert await hashes(events, 2) == expected


async def test_a_process_keeps_its_share_if_the_list_of_processes_cannot_be_reached(server, source):
    async with SessionEvents(source, reader="mailer", lease_seconds=0.4) as events:
        members = keys.members(ids.home_bucket("readers", reader_name("mailer", None)), reader_name("mailer", None))
        with server.client() as client:
            client.set(members, "damaged")
        held = dict(events._leases.held)
        first = next(iter(held.values())).valid_until
        await until(lambda: asyncio.get_running_loop().time() >= first + 0.4)
        expected = await create(source, *range(20))
        assert await hashes(events, 20) == expected
        assert events._leases.held == held


async def test_expired_sessions_are_reported_although_the_index_of_a_bucket_is_damaged(server, source):
    with server.client() as client:
        client.set(keys.sandboxes(7), "damaged")
    async with SessionManager("test", source, events=True) as manager:
        await manager.allocate_session(id_in(9), ttl_hours=0.001 / 3600)
    async with SessionEvents(source, reader="mailer") as events:
        assert [event.type for event in await take(events, 2)] == ["session.created", "session.ended"]


async def test_events_are_trimmed_once_their_acknowledgment_is_stored(server, source):
    async with SessionEvents(source, reader="mailer") as events:
        bucket = events._leases.held[7]
        upkeep = events._upkeep
        for task in upkeep._tasks:  # the steps below take their turns here
            task.cancel()
        await asyncio.wait(upkeep._tasks)
        upkeep._tasks = []
        for _ in range(3):
            await create(source, 7)
        await take(events, 3)
        events._acknowledge()
        await upkeep._trim()
        await events._leases.store([bucket])
        await upkeep._trim()
    with server.client() as client:
        assert client.xlen(keys.events(7)) == 1


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_closed_reader_has_no_connection(server, times):
    source = redis.factory(server.url, client_name="closed")
    async with SessionEvents(source, reader="mailer") as events:
        assert connections_named(server, "closed")
        for _ in range(times):
            await events.aclose()
    await until(lambda: not connections_named(server, "closed"))


async def test_a_reader_that_was_refused_has_no_connection(server):
    name, source = reader_name("mailer", None), redis.factory(server.url, client_name="refused")
    with server.client() as client:
        client.set(keys.members(ids.home_bucket("readers", name), name), "damaged")
        with pytest.raises(CorruptRecordError):
            await SessionEvents(source, reader="mailer").__aenter__()
        await until(lambda: not connections_named(server, "refused"))
        assert client.exists(*[keys.readers(bucket) for bucket in range(ids.BUCKETS)]) == 0


async def test_a_reader_whose_start_is_canceled_leaves(server, source):
    name = reader_name("mailer", None)
    with server.client() as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        task = asyncio.create_task(SessionEvents(source, reader="mailer").__aenter__())
        await until(lambda: client.info("clients")["blocked_clients"])
        task.cancel()
        client.execute_command("CLIENT", "UNPAUSE")
        await asyncio.wait([task])
        assert client.zcard(keys.members(ids.home_bucket("readers", name), name)) == 0
