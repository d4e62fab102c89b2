"""Events in a store, and waiting until readers have read them."""

from __future__ import annotations

import asyncio
import time

from chuk_sessions import ProviderError
from chuk_sessions.core import event_entries, ids, index_operations, keys
from chuk_sessions.events import EventReaders, SessionEvents
from chuk_sessions.providers import redis

KEEPER = "keeper"
"""A reader that never reads, so that the store keeps all events."""

PATIENCE = 60.0


async def register_keeper(url: str) -> None:
    """Have the store keep all events from now on."""
    async with SessionEvents(url, reader=KEEPER):
        pass


async def until_read(url: str) -> None:
    """Wait until all other readers have acknowledged all events."""
    readers, deadline = EventReaders(url), time.monotonic() + PATIENCE
    try:
        while await _lag(readers):
            assert time.monotonic() < deadline, await readers.list()
            await asyncio.sleep(0.05)
    finally:
        await readers.aclose()


async def _lag(readers: EventReaders) -> int:
    try:
        return sum(one.lag_events for one in await readers.list() if one.reader != KEEPER)
    except ProviderError:
        return 1


async def stored_events(url: str) -> dict[str, tuple[str, str]]:
    """Return type and session hash of the stored events by their ids."""
    backend, found = redis.factory(url).backend, {}
    for bucket in range(ids.BUCKETS):
        after = b""
        while page := (await backend.run(index_operations.read_events(keys.events(bucket), after=after)))[1]:
            for stream_id, fields in page:
                entry = event_entries.parse(stream_id, fields)
                found[entry.event_id] = f"session.{entry.kind}", entry.session_hash(bucket)
            after = page[-1][0]
    await backend.aclose()
    return found
