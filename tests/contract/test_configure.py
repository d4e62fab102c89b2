"""configure: replace the description of an endpoint if nobody else has, or remove the endpoint."""

from __future__ import annotations

from chuk_sessions.core import queue_operations, statuses
from tests.harness.queues import Queue, new_queue


async def described(world):
    return (await world.backend.run(queue_operations.endpoints()))[1]


async def test_creates_changes_and_removes_an_endpoint(world):
    configure, run = Queue(world).configure, world.backend.run
    for expected, text in [(b"", b"new"), (b"new", b"changed")]:
        assert await run(configure(expected, text)) == [statuses.OK]
        assert await described(world) == [b"receiver", text]
    assert await run(configure(b"changed", b"")) == [statuses.OK]
    assert await described(world) == []


async def test_changes_nothing_that_somebody_else_has_changed(world):
    configure, run = Queue(world).configure, world.backend.run
    await run(configure(b"", b"mine"))
    for expected, text in [(b"", b"new"), (b"other", b"new"), (b"other", b"")]:
        assert await run(configure(expected, text)) == [statuses.MISMATCH, [b"receiver"]]
    assert await described(world) == [b"receiver", b"mine"]


async def test_a_retry_succeeds(world):
    configure, run = Queue(world).configure, world.backend.run
    for expected, text in [(b"", b"new"), (b"", b"new"), (b"new", b""), (b"new", b"")]:
        assert await run(configure(expected, text)) == [statuses.OK]


async def test_a_removal_removes_waiting_messages_and_dead_letters(world):
    queue = await new_queue(world)
    await queue.enqueue("m1", "m2")
    await queue.bury("m1")
    await queue.remove()
    await queue.create()
    assert await queue.letters() == ([], ())
    assert await queue.taken() == []
    assert await queue.enqueue("m1", "m2") == [statuses.OK, 2]
