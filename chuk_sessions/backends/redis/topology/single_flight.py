"""A refresh that all callers who need its result at the same time share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..net.circuit_breaker import CircuitBreaker
from ..net.orphans import cancel
from ..net.resp import NotSentError, ReplyError


class SingleFlight:
    """A refresh that runs once at a time: callers that arrive while it runs share it. Belongs to one event loop.

    `refresh` raises NotSentError if it finds nothing, and ReplyError if no later refresh will. Refreshes begin at least
    `interval` seconds apart, so that callers may start the next one at once.

    If refreshes find nothing for `max_outage` seconds while callers wait, a circuit opens. From then on, callers fail
    at once until a refresh in the background succeeds. `subject` names in logs what the refresh looks for.
    """

    def __init__(
        self,
        refresh: Callable[[], Coroutine[Any, Any, None]],
        interval: float,
        subject: str = "the store",
        max_outage: float = 5.0,
    ) -> None:
        self._refresh = refresh
        self._interval = interval
        self._breaker = CircuitBreaker(subject, max_outage, self._restart)
        self._loop = asyncio.get_running_loop()
        self._begun_at = -interval
        self._last_failure = ""
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> asyncio.Task[None]:
        """Return the running refresh, or start one. Raises NotSentError after `stop()`."""
        if self._stopped:
            raise NotSentError("closed")
        if self._task is None:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._done)
        return self._task

    async def wait_until(self, found: Callable[[], bool], deadline: float) -> None:
        """Refresh until `found` returns true. `deadline` is a time of the event loop's clock.

        Raises:
            NotSentError: it was not found by the deadline, or `stop()` was called.
            ReplyError: a refresh found out that later ones will not succeed either.
            CircuitOpenError: the circuit is open. Raised without waiting.

        """
        while True:
            self._breaker.raise_if_open()
            self._breaker.record_attempt()
            try:
                await self._wait(min(deadline, self._breaker.opens_at))
                if found():
                    return
            except NotSentError:
                if self._stopped or self._loop.time() >= deadline:
                    raise

    def stop(self) -> None:
        """Cancel the running refresh, and refuse further ones. Does not wait."""
        self._stopped = True
        self._breaker.reset()
        if self._task is not None:
            cancel(self._task)

    async def _wait(self, deadline: float) -> None:
        """Wait for one refresh, and raise its error. Raises NotSentError if it takes too long."""
        task = self.start()
        await asyncio.wait((task,), timeout=max(0.0, deadline - self._loop.time()))
        if not task.done() or task.cancelled():
            raise NotSentError("closed" if self._stopped else self._last_failure or "not found in time")
        task.result()

    async def _run(self) -> None:
        await asyncio.sleep(max(0.0, self._begun_at + self._interval - self._loop.time()))
        self._begun_at = self._loop.time()
        await self._refresh()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if self._stopped and task.cancelled():
            return
        # This also marks the exception as retrieved: there may be no caller that has waited for it.
        failure = NotSentError("the search was canceled") if task.cancelled() else task.exception()
        self._last_failure = "" if failure is None else str(failure)
        if failure is None or isinstance(failure, ReplyError):
            self._breaker.record_success()
        else:
            self._breaker.record_failure(failure)

    def _restart(self) -> None:
        if not self._stopped:
            self.start()
