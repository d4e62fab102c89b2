"""Batches of events, for code that handles many at a time."""

from __future__ import annotations

from typing import Any

from .bucket import Bucket
from .readers import SessionEvents
from .session_event import SessionEvent


class EventBatches(SessionEvents):
    """The events of sessions, in batches. Each batch is acknowledged when the next one is requested."""

    def __init__(self, source: Any, **options: Any) -> None:
        """Prepare to read. Nothing is sent. The arguments and errors are those of SessionEvents."""
        super().__init__(source, **options)
        self._batch: list[tuple[Bucket, bytes]] = []

    async def next_batch(self, most: int) -> list[SessionEvent]:
        """Acknowledge the previous batch, and return the next one, at most `most` events; an empty one after `stop`.

        Raises RuntimeError if the context was not entered.
        """
        self._check_entered()
        self._acknowledge_batch()
        while self._upkeep is not None and not self._is_closed:
            self._upkeep.check()
            events = self._take(most)
            if events:
                return events
            self._acknowledge_batch()
            await self._delivery.poll()
        return []

    def _take(self, most: int) -> list[SessionEvent]:
        found = []
        while len(self._batch) < most and (taken := self._delivery.take()) is not None:
            bucket, (stream_id, fields) = taken
            # An entry that is not wanted is acknowledged in its turn, because the cursor passes those before it.
            self._batch.append((bucket, stream_id))
            event = self._decoder.event(bucket.number, stream_id, fields)
            if event is not None:
                found.append(event)
        return found

    def _acknowledge_batch(self) -> None:
        if self._batch and self._upkeep is not None:
            for bucket, stream_id in self._batch:
                bucket.acknowledge(stream_id)
            self._upkeep.acknowledged()
        self._batch = []
