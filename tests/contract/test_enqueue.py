"""enqueue: add messages to the queue of an endpoint."""

from __future__ import annotations

import pytest

from chuk_sessions.core import statuses
from tests.harness.queues import Queue, new_queue

pytestmark = pytest.mark.parametrize("ordered", [False, True])


async def test_messages_are_due_immediately(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    assert await queue.enqueue("m1") == [statuses.OK, 1]
    assert (await queue.take()).messages == [(b"m1", b"text of m1")]


async def test_a_message_that_is_in_the_queue_is_not_added_again(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue("m1")
    taken = await queue.take()
    assert await queue.enqueue("m1", "m1") == [statuses.OK, 2]
    await queue.settle("m1", taken.claim)
    assert await queue.taken() == []


async def test_a_dead_letter_is_not_added_again(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue("m1")
    await queue.bury("m1")
    assert await queue.enqueue("m1") == [statuses.OK, 1]
    assert await queue.taken() == []


async def test_a_full_queue_takes_the_first_messages_only(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    assert await queue.enqueue("m1", "m2", "m3", limit=2) == [statuses.OK, 2]
    assert await queue.enqueue("m2", "m3", limit=2) == [statuses.OK, 1]
    assert await queue.enqueue("m3", limit=2) == [statuses.OK, 0]
    taken = await queue.take(1)
    await queue.settle("m1", taken.claim)
    assert await queue.enqueue("m3", limit=2) == [statuses.OK, 1]


async def test_nothing_is_kept_for_an_endpoint_that_was_removed(world, ordered):
    queue = Queue(world, ordered=ordered)
    assert await queue.enqueue("m1") == [statuses.GONE]
    await queue.create()
    assert await queue.taken() == []
