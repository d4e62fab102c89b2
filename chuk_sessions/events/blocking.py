"""SyncSessionEvents: SessionEvents for code without `await`, on the background event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, Self

from ..backends.sharing import SessionFactory
from ..sync.runner import Runner
from .readers import SessionEvents
from .session_event import SessionEvent

_PAUSE_SECONDS: Final = 0.001


class SyncSessionEvents:
    """The events of sessions, for a named reader, for code without `await`. See `SessionEvents`.

        with SyncSessionEvents(url, reader="mailer") as events:
            for event in events:
                ...

    The background thread renews the leases of this process, sweeps, and stores acknowledgments, even while the
    iterating thread handles an event. An exception such as KeyboardInterrupt ends the wait for an event, without losing
    one.

    Attributes:
        reader: the name.

    """

    def __init__(self, source: SessionFactory | str, *, reader: str, **options: Any) -> None:
        """Prepare to read. Nothing is sent. The arguments and errors are those of SessionEvents."""
        self._runner = Runner()
        self._events = SessionEvents(source, reader=reader, **options)
        self.reader = reader

    def __enter__(self) -> Self:
        """Claim a share of the buckets. Raises a subclass of ProviderError if the store cannot be reached."""
        self._runner.run(self._events.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SessionEvent]:
        return self

    def __next__(self) -> SessionEvent:
        """Acknowledge the previous event, wait for the next one, and return it.

        Raises:
            StopIteration: the reader was closed.
            RuntimeError: the context was not entered, or this thread runs an event loop, which the call would block.

        """
        try:
            return self._runner.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None
        except BaseException:
            # The background thread may deliver an event after the wait has ended.
            self._events.repeat()
            raise

    async def _next(self) -> SessionEvent:
        # A wait that was interrupted ends in the background, soon. That of another thread may last, and waiting for it
        # must not keep the loop busy.
        while self._events.is_waiting:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_SECONDS)
        return await anext(self._events)

    @property
    def lost(self) -> int:
        """The number of events that this process has missed because the store had too many unread events."""
        return self._events.lost

    def acknowledge(self) -> bool:
        """Acknowledge the latest event. See `SessionEvents.acknowledge`."""
        return self._runner.run(self._events.acknowledge())

    def close(self) -> None:
        """End the iteration, and release the share of this process to others."""
        self._events.stop()  # Otherwise another thread would wait for its next event forever.
        self._runner.close(self._events.aclose)
