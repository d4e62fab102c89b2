"""Readers of events next to the load: they say afterwards whether events got lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chuk_sessions.events import EventReaders, SessionEvents
from tests.harness.stored_events import register_keeper, stored_events, until_read


@asynccontextmanager
async def reading(url: str, broken: list[str]) -> AsyncIterator[None]:
    """Read all events meanwhile. Every event that the store has in the end must have been received."""
    await register_keeper(url)
    received: set[str] = set()

    async def read(events: SessionEvents) -> None:
        async for event in events:
            received.add(event.id)

    async with SessionEvents(url, reader="judge") as events:
        task = asyncio.create_task(read(events))
        yield
        await until_read(url)
        events.stop()
        await task
    due = await stored_events(url)
    if not due:
        broken.append("there are no events")
    if due.keys() - received:
        broken.append(f"events that were not received: {len(due.keys() - received)} of {len(due)}")


@asynccontextmanager
async def counting_drops(url: str, broken: list[str]) -> AsyncIterator[None]:
    """Count the events that are dropped at the cap, for a reader that never reads. Each of them must count as lost."""
    await register_keeper(url)
    yield
    readers = EventReaders(url)
    [keeper] = await readers.list()
    await readers.aclose()
    stored = len(await stored_events(url))
    if keeper.lag_events != stored:
        broken.append(f"unread events: {keeper.lag_events} of {stored}")
    if keeper.lost == 0:
        broken.append("no event was dropped")
