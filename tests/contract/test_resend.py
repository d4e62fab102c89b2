"""resend: move dead letters back to their queue."""

from __future__ import annotations

import pytest

from tests.harness.queues import new_queue


@pytest.mark.parametrize("ordered", [False, True])
async def test_the_letters_are_due_immediately_with_their_new_text(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue("m1")
    await queue.bury("m1")
    assert await queue.resend(["m1"]) == 1
    assert await queue.letters() == ([], ())
    assert (await queue.take()).messages == [(b"m1", b"again")]


@pytest.mark.parametrize("ordered", [False, True])
async def test_only_dead_letters_can_be_sent_again(world, ordered):
    queue = await new_queue(world, ordered=ordered)
    await queue.enqueue("m1")
    taken = await queue.take()
    assert await queue.resend(["m1", "other"]) == 0
    await queue.settle("m1", taken.claim)
    assert await queue.resend(["m1"]) == 0
    assert await queue.taken() == []


async def test_in_an_ordered_queue_they_come_after_all_that_wait(world):
    queue = await new_queue(world, ordered=True)
    await queue.enqueue("m1", "m2", "m3")
    await queue.bury("m1", "m2")
    assert await queue.resend(["m2", "m1"]) == 2
    for name in ("m3", "m2", "m1"):
        taken = await queue.take()
        assert taken.messages[0][0] == name.encode()
        await queue.settle(name, taken.claim)
