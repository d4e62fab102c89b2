"""letters: list the dead letters of an endpoint."""

from __future__ import annotations

from chuk_sessions.core import queue_operations
from tests.harness.queues import ENDPOINT, new_queue


async def test_lists_the_oldest_first_with_text_and_time(world):
    queue = await new_queue(world)
    for name in ("m2", "m1"):
        await queue.enqueue(name)
        await queue.bury(name)
        await world.advance(seconds=1)
    now = world.clock.now_ms()
    reply = await world.backend.run(queue_operations.letters(ENDPOINT, 10))
    assert queue_operations.letters_of(reply) == [(b"m2", b"failed", now - 2000), (b"m1", b"failed", now - 1000)]


async def test_pages_have_each_letter_once(world):
    queue, names = await new_queue(world), [f"m{number}" for number in range(7)]
    for number, name in enumerate(names):
        await queue.enqueue(name)
        await queue.bury(name)
        await world.advance(ms=number % 2)
    found, after, pages = [], (), 0
    while pages == 0 or after:
        page, after = await queue.letters(3, after)
        found += page
        pages += 1
    assert (found, pages) == (names, 3)
