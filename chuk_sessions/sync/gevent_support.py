"""Support for gevent: a lock for which only a greenlet waits, and an event loop in a thread of the operating system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from gevent.hub import Waiter, get_hub

from .primitives import original, start_daemon

_FOREVER = 1e6


class HubLock:
    """A held lock. While a greenlet acquires it, the other greenlets of its thread run. Any thread may release it."""

    def __init__(self) -> None:
        self._released = False
        self._waiter: Waiter | None = None

    def acquire(self) -> None:
        """Wait for a release."""
        hub = get_hub()
        waiter = Waiter(hub)
        keep_alive = hub.loop.timer(_FOREVER)  # Without it, a hub whose greenlets all wait would raise an error.
        keep_alive.start(waiter.switch, None)
        self._waiter = waiter
        try:
            while not self._released:
                waiter.get()
        finally:
            self._waiter = None
            keep_alive.close()
        self._released = False

    def release(self) -> None:
        """Let the waiting greenlet continue."""
        self._released = True
        waiter = self._waiter
        if waiter is not None:
            waiter.hub.loop.run_callback_threadsafe(waiter.switch, None)


class NativeThreadsLoop(asyncio.SelectorEventLoop):
    """An event loop whose default executor uses threads of the operating system.

    Python's executor would create greenlets of the loop's thread, which never gives way to them.
    """

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in a new thread if no executor is given."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future = self.create_future()

        def work() -> None:
            try:
                outcome, error = func(*args), None
            except BaseException as raised:
                outcome, error = None, raised
            self.call_soon_threadsafe(_settle, future, outcome, error)

        start_daemon(work)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Resolve a name with the operating system's resolver, because gevent's needs a thread with a hub."""
        resolve = original("socket", "getaddrinfo")
        return await self.run_in_executor(None, lambda: resolve(host, port, **options))


def _settle(future: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)
