"""The progress of readers, and the removal of unused readers."""

from __future__ import annotations

from dataclasses import dataclass

from ..backends.sharing import SessionFactory
from ..core import ids, reader_operations, statuses
from ..core.reader_operations import Progress
from ..core.values import json_codec
from ..engine.executor import Executor
from .names import parse, reader_name
from .source import Source


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """The progress of a reader.

    Attributes:
        reader: its name.
        sandbox_id: the sandbox whose events it reads; None for all.
        lag_events: the number of events that it has not acknowledged, including those of other sandboxes.
        lag_seconds: the age of the oldest of those; 0 without one.
        lost: the number of events that it has missed because a stream had too many unread events. Always 0 on Redis
            6.2, which does not count entries.
        processes: the number of processes that read for it now.

    """

    reader: str
    sandbox_id: str | None
    lag_events: int
    lag_seconds: float
    lost: int
    processes: int


class EventReaders:
    """The readers that a store knows."""

    def __init__(self, source: SessionFactory | str) -> None:
        """Prepare the object. Nothing is sent.

        Args:
            source: a session factory, as SessionManager takes it, or the URL of a store.

        Raises:
            ValueError: `source` is neither.
            NotSupportedError: it is the factory of a custom provider, which has no events.

        """
        self._source = Source(source)
        self._executor = Executor(self._source.backend, "", json_codec(""))

    async def list(self) -> list[ReaderProgress]:
        """Return the progress of all readers, by name.

        Raises a subclass of ProviderError if the store does not answer.
        """
        replies = await self._executor.execute_all(
            [reader_operations.progress(bucket) for bucket in range(ids.BUCKETS)]
        )
        found: dict[bytes, list[tuple[int, Progress]]] = {}
        for reply in replies:
            for one in reader_operations.progress_of(reply):
                found.setdefault(one.reader, []).append((reply[1], one))
        return [_sum(name, found[name]) for name in sorted(found)]

    async def remove(self, reader: str, sandbox_id: str | None = None) -> bool:
        """Remove a reader, so that the store no longer keeps events for it. Returns whether it existed.

        Processes that still read under its name begin again with the oldest stored event.

        Raises:
            ValueError: a name is malformed.
            ProviderError: the store does not answer. A repeat removes the rest.

        """
        name = reader_name(reader, sandbox_id).encode()
        calls = [reader_operations.retire(bucket, name) for bucket in range(ids.BUCKETS)]
        replies = await self._executor.execute_all(calls)
        return any(reply[0] == statuses.OK for reply in replies)

    async def aclose(self) -> None:
        """Close the connections of the running event loop, unless an open manager or reader shares them."""
        await self._source.aclose()


def _sum(name: bytes, parts: list[tuple[int, Progress]]) -> ReaderProgress:
    reader, sandbox_id = parse(name)
    return ReaderProgress(
        reader,
        sandbox_id,
        sum(one.unread for _, one in parts),
        max(one.behind_ms(now) for now, one in parts) / 1000,
        sum(one.lost for _, one in parts),
        len({one.owner for _, one in parts if one.owner}),
    )
