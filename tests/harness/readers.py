"""Helpers of tests of event readers, at the level of operations."""

from __future__ import annotations

from chuk_sessions.core import index_operations, keys, reader_operations, statuses
from chuk_sessions.core.reader_operations import Lease, Position
from tests.harness.strays import HOME, id_in

NAME, LEASE_MS = b"mailer", 9000
START = b"0-0"


async def emit(world, number=1):
    """Create sessions that emit an event each, in one bucket."""
    fields = [b"test", b"h" * 22, b"k", b"c1", b"c", b"1700000000000", b"d", b"3600000", b"u", b""]
    for _ in range(number):
        if hasattr(world.backend, "_space"):
            world.backend._space.xadd(keys.events(HOME), fields)
        else:
            with world._server.client() as client:
                client.execute_command("XADD", keys.events(HOME), "*", *fields)


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
