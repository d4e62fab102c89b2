"""The reader of an endpoint: its cursors in the streams of events."""

from __future__ import annotations

from ...backends.sharing import SessionFactory
from ..batches import EventBatches
from ..decoding import OwnerEncryption
from ..progress import EventReaders


def reader_of(endpoint_id: str) -> str:
    """Return the name of the reader."""
    return f"webhook-{endpoint_id}"


def events_for(
    source: SessionFactory | str, endpoint_id: str, encryption: OwnerEncryption | None, lease_seconds: float = 10
) -> EventBatches:
    """Return the events for an endpoint. A new one begins with the next event."""
    return EventBatches(
        source, reader=reader_of(endpoint_id), newest=True, encryption=encryption, lease_seconds=lease_seconds
    )


async def register_reader(source: SessionFactory | str, endpoint_id: str) -> None:
    """Store cursors after the newest events, so that the endpoint receives all later ones."""
    async with events_for(source, endpoint_id, None):
        pass


async def forget_reader(source: SessionFactory | str, endpoint_id: str) -> None:
    """Remove the cursors, so that the store no longer keeps events for the endpoint."""
    readers = EventReaders(source)
    try:
        await readers.remove(reader_of(endpoint_id))
    finally:
        await readers.aclose()
