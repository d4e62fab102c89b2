"""A query that a topology repeats periodically."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..net.orphans import cancel
from ..net.timers import call_later_weakly


class Poller:
    """A loop that polls `interval` seconds after the previous poll is done. Belongs to one event loop.

    Between polls there is a timer instead of a task. A loop that shuts down drops it, and it does not keep its owner
    from being collected.
    """

    def __init__(self, poll: Callable[[], Coroutine[Any, Any, None]], interval: float) -> None:
        self._poll = poll
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self, first_after: float | None = None) -> None:
        """Poll from now on: first after so many seconds, by default after the interval. Call this once."""
        self._schedule(self._interval if first_after is None else first_after)

    def stop(self) -> None:
        """Stop polling, and cancel a running poll. Does not wait."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            cancel(self._task)

    def _schedule(self, seconds: float) -> None:
        if not self._stopped:
            self._timer = call_later_weakly(self._loop, seconds, self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._poll())
        self._task.add_done_callback(self._done)

    def _done(self, _: asyncio.Task[None]) -> None:
        self._task = None
        self._schedule(self._interval)
