"""Looking for where things are, one task at a time, whoever and how many may want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..net.circuit_breaker import CircuitBreaker
from ..net.resp import NotSentError, ReplyError
from ..net.timers import call_later_weakly

T = TypeVar("T")


class SingleFlight:
    """Runs a round when somebody asks for one; who asks while it runs has part in that one. Belongs to one event loop.

    `make` makes a round, which raises NotSentError when it finds nothing and ReplyError when it never will. Rounds
    begin at least `pause` seconds apart, so that asking again at once costs nobody anything.

    Rounds that find nothing for `patience` seconds, although somebody waits, open a circuit; then nobody waits any more
    until a round in the background has found something. `subject` names in logs what is looked for.
    """

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, None]],
        pause: float,
        subject: str = "the store",
        patience: float = 5.0,
    ) -> None:
        self._make = make
        self._breaker = CircuitBreaker(subject, patience, self._try_again)
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._begun = -pause
        self._failure = ""
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._walk: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._every = 0.0
        self._closed = False

    def start(self) -> asyncio.Task[None]:
        """The round that runs, or a new one. Raises NotSentError after `stop()`."""
        if self._closed:
            raise NotSentError("closed")
        if self._task is None:
            self._task = self.spawn(self._run())
            self._task.add_done_callback(self._ended)
        return self._task

    async def wait(self, deadline: float) -> None:
        """Wait for a round's end, and raise what it raised; NotSentError, too, when it takes longer than that."""
        task = self.start()
        await asyncio.wait((task,), timeout=max(0.0, deadline - self._loop.time()))
        if not task.done() or task.cancelled():
            raise NotSentError("closed" if self._closed else self._failure or "not found in time")
        task.result()

    async def until(self, found: Callable[[], bool], deadline: float) -> None:
        """Wait for as many rounds as it takes. Raises what the last one raised when that is not by the deadline, and
        CircuitOpenError at once while the circuit is open.
        """
        while True:
            self._breaker.raise_if_open()
            self._breaker.record_attempt()
            try:
                await self.wait(min(deadline, self._breaker.opens_at))
                if found():
                    return
            except NotSentError:
                if self._closed or self._loop.time() >= deadline:
                    raise

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that is a part of a round."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def patrol(self, walk: Callable[[], Coroutine[Any, Any, None]], every: float, first: float | None = None) -> None:
        """Walk from now on, `every` seconds after the last walk has ended; for the first time after `first` seconds. To
        be called once.

        Between walks there is no task, but a timer, which an ending loop drops, and which keeps nobody from being
        collected.
        """
        self._walk, self._every = walk, every
        self._timer = call_later_weakly(self._loop, every if first is None else first, self._set_out)

    def stop(self) -> None:
        """No more rounds nor walks, and the present ones end. Does not wait."""
        self._closed = True
        self._breaker.reset()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            if self._loop.is_closed():
                # It can neither go on nor be cancelled, and asyncio would log that at its end.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            else:
                task.cancel()

    def _rest(self, *_: object) -> None:
        if not self._closed:
            self._timer = call_later_weakly(self._loop, self._every, self._set_out)

    def _set_out(self) -> None:
        assert self._walk is not None
        self.spawn(self._walk()).add_done_callback(self._rest)

    async def _run(self) -> None:
        await asyncio.sleep(max(0.0, self._begun + self._pause - self._loop.time()))
        self._begun = self._loop.time()
        await self._make()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        failure = task.exception()  # those who waited have seen it; nobody may have
        self._failure = "" if failure is None else str(failure)
        if failure is None or isinstance(failure, ReplyError):
            self._breaker.record_success()
        else:
            self._breaker.record_failure(failure)

    def _try_again(self) -> None:
        if not self._closed:
            self.start()
