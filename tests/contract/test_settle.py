"""settle: record the result of an attempt to deliver a message."""

from __future__ import annotations

import pytest

from chuk_sessions.core.statuses import GONE, OK
from tests.harness.queues import LEASE_MS, new_queue

both = pytest.mark.parametrize("ordered", [False, True])


async def queue_with(world, *names, ordered=False):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue(*names)
    return queue, await queue.take(1)


@both
async def test_a_message_that_was_delivered_is_gone(world, ordered):
    queue, taken = await queue_with(world, "m1", ordered=ordered)
    assert await queue.settle("m1", taken.claim) == OK
    assert await queue.settle("m1", taken.claim) == GONE
    await world.advance(hours=1)
    assert await queue.taken() == []


@both
async def test_the_next_attempt_is_due_after_the_delay(world, ordered):
    queue, taken = await queue_with(world, "m1", ordered=ordered)
    assert await queue.settle("m1", taken.claim, "second attempt", 5000) == OK
    taken = await queue.take()
    assert (taken.messages, taken.next_due) == ([], taken.now + 5000)
    await world.advance(ms=5000)
    assert (await queue.take()).messages == [(b"m1", b"second attempt")]


@both
async def test_a_message_without_another_attempt_is_a_dead_letter(world, ordered):
    queue, taken = await queue_with(world, "m1", "m2", ordered=ordered)
    assert await queue.settle("m1", taken.claim, "failed") == OK
    assert await queue.taken() == ["m2"]
    assert (await queue.letters())[0] == ["m1"]


@both
async def test_only_the_holder_of_the_lease_plans_the_next_attempt(world, ordered):
    queue, late = await queue_with(world, "m1", ordered=ordered)
    await world.advance(ms=LEASE_MS)
    taken = await queue.take()
    for delay in (0, None):
        assert await queue.settle("m1", late.claim, "late", delay) == GONE
    await world.advance(ms=LEASE_MS)
    assert (await queue.take()).messages == taken.messages


@both
async def test_a_late_report_of_a_delivery_counts(world, ordered):
    queue, late = await queue_with(world, "m1", "m2", ordered=ordered)
    await world.advance(ms=LEASE_MS)
    await queue.take(1)
    assert await queue.settle("m1", late.claim) == OK
    await world.advance(ms=LEASE_MS)
    assert await queue.taken() == ["m2"]


async def test_in_an_ordered_queue_a_failure_holds_up_all_messages(world):
    queue, taken = await queue_with(world, "m1", "m2", ordered=True)
    await queue.settle("m1", taken.claim, "again", 60_000)
    await world.advance(ms=59_999)
    assert await queue.taken() == []
    await world.advance(ms=1)
    assert await queue.taken() == ["m1"]


async def test_in_other_queues_a_failure_holds_up_nothing(world):
    queue, taken = await queue_with(world, "m1", "m2")
    await queue.settle("m1", taken.claim, "again", 60_000)
    assert await queue.taken() == ["m2"]


async def test_the_latest_dead_letters_are_kept(world):
    queue = await new_queue(world)
    for name in ("m1", "m2", "m3", "m4"):
        await queue.enqueue(name)
        await world.advance(ms=1)
    await queue.bury("m1", "m2", "m3", "m4", most_dead=2)
    assert (await queue.letters())[0] == ["m3", "m4"]
    await queue.enqueue("m1")
    assert await queue.taken() == ["m1"]
