"""take: take messages that are due from a queue, for the time of a lease."""

from __future__ import annotations

import pytest

from tests.harness.queues import LEASE_MS, new_queue


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_message_is_due_again_when_the_lease_ends(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue("m1")
    taken = await queue.take()
    assert taken.claim == taken.next_due == taken.now + LEASE_MS
    await world.advance(ms=LEASE_MS - 1)
    assert await queue.taken() == []
    await world.advance(ms=1)
    assert await queue.taken() == ["m1"]


@pytest.mark.parametrize("ordered", [False, True])
async def test_an_empty_queue_has_nothing_due(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    taken = await queue.take()
    assert (taken.next_due, taken.messages) == (0, [])
    assert taken.now == world.clock.now_ms()


async def test_takes_the_messages_that_are_due_first(world):
    queue = await new_queue(world)
    for name in ("m3", "m1", "m2"):
        await queue.enqueue(name)
        await world.advance(ms=1)
    taken = await queue.take(2)
    assert [message for message, _ in taken.messages] == [b"m3", b"m1"]
    assert taken.next_due == taken.now - 1
    assert await queue.taken() == ["m2"]


async def test_in_an_ordered_queue_only_the_first_message_can_be_taken(world):
    queue = await new_queue(world, ordered=True)
    await queue.enqueue("m3", "m1")
    await world.advance(seconds=-60)
    await queue.enqueue("m2")
    for name in ("m3", "m1", "m2"):
        await world.advance(seconds=1)
        taken = await queue.take()
        assert [message for message, _ in taken.messages] == [name.encode()]
        assert await queue.taken() == []
        await queue.settle(name, taken.claim)


async def test_queues_of_endpoints_are_independent(world):
    queue = await new_queue(world)
    await queue.enqueue("m1")
    other = type(queue)(world, endpoint="other")
    await other.create()
    assert await other.taken() == []
    await other.enqueue("m1")
    assert await other.taken() == ["m1"]
    assert await queue.taken() == ["m1"]
