"""Looking for where things are, one task at a time, whoever and how many may want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakMethod

from .wire import NotSentError

T = TypeVar("T")


class Rounds:
    """Runs a round when somebody asks for one; who asks while it runs has part in that one. Belongs to one event loop.

    `make` makes a round, which raises NotSentError when it finds nothing and ReplyError when it never will. Rounds
    begin at least `pause` seconds apart, so that asking again at once costs nobody anything.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
        self._make = make
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._begun = -pause
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
            raise NotSentError("closed" if self._closed else "not found in time")
        task.result()

    async def until(self, found: Callable[[], bool], deadline: float) -> None:
        """Wait for as many rounds as it takes. Raises what the last one raised when that is not by the deadline."""
        while True:
            try:
                await self.wait(deadline)
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

    def patrol(self, walk: Callable[[], Coroutine[Any, Any, None]], every: float) -> None:
        """Walk from now on, `every` seconds after the last walk has ended. To be called once.

        Between walks there is no task, but a timer, which an ending loop drops, and which keeps nobody from being
        collected.
        """
        self._walk, self._every = walk, every
        self._rest()

    def stop(self) -> None:
        """No more rounds nor walks, and the present ones end. Does not wait."""
        self._closed = True
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
            self._timer = self._loop.call_later(self._every, _wake, WeakMethod(self._set_out))

    def _set_out(self) -> None:
        assert self._walk is not None
        self.spawn(self._walk()).add_done_callback(self._rest)

    async def _run(self) -> None:
        await asyncio.sleep(max(0.0, self._begun + self._pause - self._loop.time()))
        self._begun = self._loop.time()
        await self._make()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # those who waited have seen it; nobody may have


def _wake(set_out: WeakMethod[Callable[[], None]]) -> None:
    call = set_out()
    if call is not None:
        call()
