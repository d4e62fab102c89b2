"""Helpers of tests of event readers, at the level of operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from chuk_sessions.core import ids, index_operations, keys, reader_operations, statuses
from chuk_sessions.core.reader_operations import Lease, Position
from chuk_sessions.events import SessionEvents, session_hash
from tests.harness.strays import HOME, id_in

NAME, LEASE_MS = b"mailer", 9000
START = b"0-0"


async def emit(world, number=1, **options):
    """Create sessions that emit an event each, in one bucket."""
    await emit_everywhere(world, number, buckets=[HOME], **options)


async def entries(world, after=b""):
    """Return the ids of the events in the bucket."""
    _, found = await world.backend.run(index_operations.read_events(keys.events(HOME), after=after))
    return [stream_id for stream_id, _ in found]


async def claim(world, owner=b"one", *, reader=NAME, newest=False):
    """Claim the bucket, and return the reply."""
    return await world.backend.run(reader_operations.claim(HOME, reader, owner, lease_ms=LEASE_MS, newest=newest))


async def lease_of(world, owner=b"one", *, reader=NAME, newest=False):
    """Claim the bucket. Return the lease and the cursor."""
    status, fence, cursor = await claim(world, owner, reader=reader, newest=newest)
    assert status == statuses.OK
    return Lease(reader, owner, fence), cursor


async def commit(world, lease, *position, lease_ms=LEASE_MS):
    """Move the cursor, and return the reply."""
    return await world.backend.run(reader_operations.commit(HOME, lease, Position(*position), lease_ms=lease_ms))


async def trim(world):
    """Trim the bucket. Return how many events were removed."""
    status, number = await world.backend.run(reader_operations.trim(HOME))
    assert status == statuses.OK
    return number


async def progress(world):
    """Return the progress of the bucket's readers by name."""
    reply = await world.backend.run(reader_operations.progress(HOME))
    assert reply[0] == statuses.OK
    return {one.reader: one for one in reader_operations.progress_of(reply)}


async def emit_everywhere(world, number=1, *, buckets=range(ids.BUCKETS), sandbox_id="test", **options):
    """Create sessions in each of the buckets. Return their hashes, in the order of their events."""
    manager = world.manager(sandbox_id, events=True, **options)
    session_ids = [id_in(bucket) for bucket in buckets for _ in range(number)]
    for session_id in session_ids:
        await manager.allocate_session(session_id)
    return [session_hash(session_id) for session_id in session_ids]


def reading(world, reader="mailer", **options):
    """Return a reader whose leases are short, so that shares move within a test."""
    return SessionEvents(world.factory, reader=reader, **{"lease_seconds": 4, **options})


async def take(events, number):
    """Return the next events."""
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(number)]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is met."""
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)
