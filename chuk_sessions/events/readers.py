"""SessionEvents: an asynchronous iterator over the events of sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Self

from ..backends.sharing import SessionFactory
from ..core.durations import ms_from_seconds
from ..core.values import json_codec
from ..engine.executor import Executor
from ..engine.strays import StrayNotes
from ..engine.sweeping import Sweeper
from ..engine.time_slice import TimeSlice
from ..exceptions import ManagerClosedError
from .bucket import Bucket
from .decoding import Decoder, OwnerEncryption
from .delivery import Delivery
from .leases import Leases, check_lease
from .names import reader_name
from .session_event import SessionEvent
from .source import Source
from .streams import Streams
from .upkeep import Upkeep


class SessionEvents:
    """The events of sessions, for a named reader. Each event is acknowledged when the next one is requested.

        async with SessionEvents(url, reader="mailer") as events:
            async for event in events:
                ...

    A reader gets every event at least once, and the events of one session id in order. Any number of processes may read
    under the same name: they share the events, and if one of them is killed or hangs, the others take over its share
    within `lease_seconds`. An event that was not acknowledged is delivered again, with the same `id`. Readers of
    different names, or of different sandboxes, are independent of each other.

    While the process reads, it also sweeps, so that expired and idle sessions are reported within two seconds.

    The iterator waits for events, and ends only after `stop` or `aclose`. It continues after outages of the store.

    Attributes:
        reader: the name.
        is_waiting: whether a task waits for the next event.

    """

    def __init__(
        self,
        source: SessionFactory | str,
        *,
        reader: str,
        sandbox_id: str | None = None,
        newest: bool = False,
        encryption: OwnerEncryption | None = None,
        lease_seconds: float = 10,
        longest_pause_seconds: float = 0.25,
    ) -> None:
        """Prepare to read. Nothing is sent.

        Args:
            source: a session factory, as SessionManager takes it, or the URL of a store.
            reader: the name under which the store keeps the progress, 1 to 128 visible ASCII characters without any of
                `{}/^*?[]` and backslashes.
            sandbox_id: deliver only the events of this sandbox; by default, of all sandboxes.
            newest: if the store does not know the reader yet, begin with the next event instead of the oldest stored
                one.
            encryption: the encryption of the managers, to decrypt owners. Without it, `user_id` is None for encrypted
                owners, and `owner_known` is False.
            lease_seconds: time after which other processes take over the share of a process that was killed or hangs,
                at least 0.1. Code that blocks the event loop for most of that time loses its share.
            longest_pause_seconds: longest time between two polls while there are no events.

        Raises:
            ValueError: an argument is malformed.
            NotSupportedError: `source` is the factory of a custom provider, which has no events.

        """
        self.reader = reader
        self._name = reader_name(reader, sandbox_id)
        self._sandbox_id = sandbox_id
        self._decoder = Decoder(sandbox_id, encryption)
        self._newest = newest
        self._lease_seconds = check_lease(lease_seconds)
        self._longest_pause = ms_from_seconds(longest_pause_seconds, "longest_pause_seconds") / 1000
        self._source = Source(source)
        self._upkeep: Upkeep | None = None
        self._is_closed = self.is_waiting = self._is_repeating = False
        self._current: tuple[Bucket, bytes, SessionEvent] | None = None

    async def __aenter__(self) -> Self:
        """Claim a share of the buckets. After an error, the reader is closed.

        Raises:
            ProviderError: the store cannot be reached, or has no memory for a new reader.
            ManagerClosedError: the reader was closed.

        """
        if self._is_closed:
            raise ManagerClosedError("this SessionEvents was closed")
        executor = Executor(self._source.backend, "", json_codec(""))
        self._leases = Leases(executor, self._name, lease_seconds=self._lease_seconds, newest=self._newest)
        self._delivery = Delivery(Streams(self._source.backend, executor), self._leases, self._longest_pause)
        self._time_slice = TimeSlice()
        sweeper = Sweeper(executor, StrayNotes(executor))
        self._upkeep = Upkeep(executor, self._leases, partial(sweeper.sweep_due, sandbox_id=self._sandbox_id))
        try:
            await self._upkeep.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[SessionEvent]:
        return self if self._upkeep is not None or self._is_closed else self._iterate()

    async def __anext__(self) -> SessionEvent:
        """Acknowledge the previous event, wait for the next one, and return it.

        Raises:
            StopAsyncIteration: the reader was closed or stopped.
            RuntimeError: another task waits for the next event, or the context was not entered.

        """
        if self.is_waiting:
            raise RuntimeError("another task waits for the next event: use a SessionEvents for each task")
        self.is_waiting = True
        try:
            return await self._next()
        finally:
            self.is_waiting = False

    @property
    def lost(self) -> int:
        """The number of events that this process has missed because the store had too many unread events."""
        return self._leases.missed if self._upkeep is not None else 0

    async def acknowledge(self) -> bool:
        """Acknowledge the latest event now, and wait until the store has this and all earlier acknowledgments.

        Returns whether the store has accepted it. Otherwise the event is delivered again, here or in another process.
        """
        if self._current is None:
            return False
        bucket = self._current[0]
        self._acknowledge()
        await self._leases.store([one for one in self._leases.held.values() if one.is_dirty])
        return self._leases.held.get(bucket.number) is bucket and not bucket.is_dirty

    def repeat(self) -> None:
        """Deliver the latest event again, because it was not handled."""
        self._is_repeating = True

    def stop(self) -> None:
        """End the iteration as soon as the next event is requested or waited for. Safe in any thread."""
        self._is_closed = True

    async def aclose(self) -> None:
        """End the iteration, and release the share of this process to others.

        The latest event is not acknowledged.
        """
        self._is_closed = True
        self._current = None
        if self._upkeep is not None:
            await self._upkeep.aclose()
        await self._source.aclose()

    async def _iterate(self) -> AsyncIterator[SessionEvent]:
        async with self:
            async for event in self:
                yield event

    async def _next(self) -> SessionEvent:
        self._check_entered()
        if self._is_repeating and self._current is not None:
            self._is_repeating = False
            return self._current[2]
        self._acknowledge()
        while self._upkeep is not None and not self._is_closed:
            self._upkeep.check()
            if self._time_slice.is_over():
                await self._time_slice.renew()
            taken = self._delivery.take()
            if taken is None:
                await self._delivery.poll()
                continue
            bucket, entry = taken
            event = self._decoder.event(bucket.number, *entry)
            self._current = (bucket, entry[0], event) if event is not None else None
            if event is not None:
                return event
            bucket.acknowledge(entry[0])
            self._upkeep.acknowledged()
        raise StopAsyncIteration

    def _check_entered(self) -> None:
        # Without a share of the buckets there is no event. An iteration that just ended would hide the mistake.
        if self._upkeep is None and not self._is_closed:
            raise RuntimeError("this reader was not entered: read its events in a `with` or `async with` statement")

    def _acknowledge(self) -> None:
        self._is_repeating = False
        if self._current is not None and self._upkeep is not None:
            bucket, stream_id, _ = self._current
            self._current = None
            bucket.acknowledge(stream_id)
            self._upkeep.acknowledged()
