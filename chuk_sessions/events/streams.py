"""Streams: reads the new entries of many buckets at once, in as few commands as the store allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends.base import Backend, ReadsStreams
from ..core import index_operations, keys
from ..engine.executor import Executor
from ..exceptions import CorruptRecordError, SessionError

Entry = Any
"""An entry of a stream: its id, and a list of field, value, field, value..."""


class Streams:
    """The streams of events of a store."""

    def __init__(self, backend: Backend, executor: Executor) -> None:
        self._backend = backend
        self._executor = executor

    async def read(self, cursors: Sequence[tuple[int, bytes]], limit: int) -> list[list[Entry] | SessionError]:
        """Return at most `limit` entries after each cursor, given as bucket and id, or the error of the store."""
        if isinstance(self._backend, ReadsStreams):
            names = [keys.events(bucket) for bucket, _ in cursors]
            after = dict(zip(names, [after for _, after in cursors], strict=True))
            try:
                found = await self._backend.read_streams(after, limit)
            except CorruptRecordError:
                found = None  # One stream is damaged. The others are read.
            except SessionError as error:
                return [error] * len(cursors)
            if found is not None:
                return [found.get(name, []) for name in names]
        calls = [
            index_operations.read_events(keys.events(bucket), after=after, limit=limit) for bucket, after in cursors
        ]
        outcomes = await self._executor.settle_all(calls)
        return [outcome if isinstance(outcome, SessionError) else outcome[1] for outcome in outcomes]
