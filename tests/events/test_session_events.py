"""SessionEvents: an iterator that delivers each event at least once, and in the order of its session."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from chuk_sessions import ManagerClosedError, NotSupportedError
from chuk_sessions.core import ids
from chuk_sessions.events import EventReaders, SessionEvents, session_hash
from chuk_sessions.events.batches import EventBatches
from tests.harness.readers import emit_everywhere, reading, take
from tests.harness.worlds import CustomWorld


async def test_delivers_the_events_of_all_buckets_once(world):
    expected = await emit_everywhere(world, 3)
    async with reading(world) as events:
        found = await take(events, len(expected))
        assert sorted(event.session_hash for event in found) == sorted(expected)
        assert len({event.id for event in found}) == len(expected)
        await events.acknowledge()
    more = await emit_everywhere(world)
    async with reading(world) as events:
        assert sorted(event.session_hash for event in await take(events, len(more))) == sorted(more)


async def test_delivers_the_events_of_one_bucket_in_order(world):
    expected = await emit_everywhere(world, 250, buckets=[7, 9])
    async with reading(world) as events:
        found = [event.session_hash for event in await take(events, len(expected))]
    for bucket in ("07", "09"):
        mine = [one for one in found if one.startswith(bucket)]
        assert mine == [one for one in expected if one.startswith(bucket)]


async def test_an_event_is_acknowledged_when_the_next_one_is_requested(world):
    await emit_everywhere(world, 3, buckets=[7])
    async with reading(world) as events:
        first, second = await take(events, 2)
    async with reading(world) as events:
        assert (await take(events, 1)) == [second]
        assert await events.acknowledge()
    async with reading(world) as events:
        [third] = await take(events, 1)
    assert third not in (first, second)


async def test_acknowledges_nothing_when_nothing_was_delivered(world):
    async with reading(world) as events:
        assert not await events.acknowledge()


async def test_readers_of_different_names_and_sandboxes_are_independent(world):
    expected = await emit_everywhere(world, buckets=[7, 8, 9])
    others = await emit_everywhere(world, buckets=[7, 8], sandbox_id="other")
    async with reading(world) as events, reading(world, "audit") as audit, reading(world, sandbox_id="other") as other:
        assert {event.session_hash for event in await take(events, 5)} == {*expected, *others}
        assert {event.session_hash for event in await take(audit, 5)} == {*expected, *others}
        found = await take(other, 2)
    assert {(event.session_hash, event.sandbox_id) for event in found} == {(one, "other") for one in others}


async def test_a_new_reader_may_begin_with_the_next_event(world):
    await emit_everywhere(world, 3)
    async with reading(world, newest=True) as events:
        expected = await emit_everywhere(world, buckets=[3])
        assert [event.session_hash for event in await take(events, 1)] == expected


async def test_processes_of_a_reader_share_the_events(world):
    async with reading(world) as one, reading(world) as two:
        expected: set[str] = set()
        found: list[list[str]] = [[], []]

        async def read(events, into):
            async for event in events:
                into.append(event.session_hash)

        tasks = [asyncio.create_task(read(*pair)) for pair in zip((one, two), found, strict=True)]
        async with asyncio.timeout(30):
            while not all(found) or {*found[0], *found[1]} != expected:
                if not expected or not all(found):
                    expected |= set(await emit_everywhere(world))
                await asyncio.sleep(0.05)
        one.stop()
        two.stop()
        await asyncio.gather(*tasks)


async def test_a_process_that_leaves_hands_its_share_over(world):
    async with reading(world) as one:
        async with reading(world):
            pass
        expected = await emit_everywhere(world)
        assert {event.session_hash for event in await take(one, len(expected))} == set(expected)


async def test_works_without_a_context_manager(world):
    expected = await emit_everywhere(world, buckets=[1, 2])
    found = []
    async with aclosing(aiter(SessionEvents(world.factory, reader="mailer"))) as events:
        async for event in events:
            found.append(event.session_hash)
            if len(found) == 2:
                break
    assert sorted(found) == sorted(expected)


async def test_refuses_to_deliver_events_before_its_context_was_entered(world):
    events, batches = SessionEvents(world.factory, reader="mailer"), EventBatches(world.factory, reader="mailer")
    with pytest.raises(RuntimeError, match="not entered"):
        await anext(events)
    with pytest.raises(RuntimeError, match="not entered"):
        await batches.next_batch(10)
    for reader in (events, batches):
        await reader.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_stop_ends_the_iteration(world):
    await emit_everywhere(world, 2, buckets=[1])
    found = []
    async with reading(world) as events:
        async for event in events:
            found.append(event)
            events.stop()
        assert len(found) == 1
    with pytest.raises(ManagerClosedError):
        await events.__aenter__()
    async with reading(world) as events:
        assert await take(events, 1) != found


async def test_stop_ends_the_iteration_without_a_context_manager(world):
    expected = await emit_everywhere(world, 2, buckets=[1])
    reader, found = SessionEvents(world.factory, reader="mailer"), []
    async for event in reader:
        found.append(event.session_hash)
        reader.stop()
    assert found == expected[:1]


async def test_only_one_task_waits_for_the_next_event(world):
    async with reading(world) as events:
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(events)
        waiting.cancel()
        await asyncio.wait([waiting])
        expected = await emit_everywhere(world, buckets=[1])
        assert [event.session_hash for event in await take(events, 1)] == expected


async def test_tells_how_far_readers_are(world):
    readers = EventReaders(world.factory)
    assert await readers.list() == []
    await emit_everywhere(world, 2)
    async with reading(world) as events, reading(world, "audit", sandbox_id="other"):
        await take(events, 12)
        await events.acknowledge()
        audit, mailer = await readers.list()
        assert (mailer.reader, mailer.sandbox_id, mailer.lag_events) == ("mailer", None, 2 * ids.BUCKETS - 12)
        assert (audit.reader, audit.sandbox_id, audit.lag_events) == ("audit", "other", 2 * ids.BUCKETS)
        assert [(one.lost, one.processes) for one in (audit, mailer)] == [(0, 1), (0, 1)]
    assert await readers.remove("audit", "other")
    assert not await readers.remove("audit")
    assert [one.processes for one in await readers.list()] == [0]
    await readers.aclose()


async def test_counts_the_events_that_were_dropped_at_the_cap(world):
    readers = EventReaders(world.factory)
    async with reading(world) as events:
        *_, last = await emit_everywhere(world, 350, buckets=[7], max_events=100)
        if (await readers.list())[0].lost == 0:
            pytest.skip("Redis 6.2 does not count the entries of a stream")
        found = await take(events, 1)
        while found[-1].session_hash != last:
            found += await take(events, 1)
        assert await events.acknowledge()
        number = len({event.id for event in found})
        assert 100 <= number <= 201
        assert events.lost == 350 - number
        assert [(one.lost, one.lag_events) for one in await readers.list()] == [(events.lost, 0)]
    await readers.aclose()


async def test_nothing_counts_as_lost_without_a_cap_reached(world):
    async with reading(world) as events:
        for _ in range(3):
            await take(events, len(await emit_everywhere(world, 30, buckets=[7, 9], max_events=100)))
            await events.acknowledge()
            assert events.lost == 0


async def test_events_survive_steps_of_the_clock(world):
    async with reading(world) as events:
        found, expected = [], []
        for hours in (0, 1, -2, 3):
            await world.advance(hours=hours)
            expected += await emit_everywhere(world, 2, buckets=[7])
            found += [event.session_hash for event in await take(events, 2)]
            await events.acknowledge()
        assert found == expected


@pytest.mark.parametrize(
    "arguments",
    [{"reader": ""}, {"reader": "a/b"}, {"reader": "a^b"}, {"reader": "a", "sandbox_id": "x y"},
     {"reader": "a", "lease_seconds": 0}, {"reader": "a", "lease_seconds": 0.09},
     {"reader": "a", "longest_pause_seconds": -1}],
)  # fmt: skip
def test_refuses_malformed_arguments(arguments, server):
    with pytest.raises(ValueError, match=r"must|reader|sandbox_id"):
        SessionEvents(server.url, **arguments)


def test_refuses_a_source_without_events():
    with pytest.raises(NotSupportedError):
        SessionEvents(CustomWorld(None).open, reader="mailer")
    with pytest.raises(ValueError, match="a session factory or a URL"):
        SessionEvents(7, reader="mailer")


def test_session_hash_is_that_of_the_package():
    assert session_hash("s1") == __import__("chuk_sessions").session_hash("s1")
