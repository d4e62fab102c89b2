"""The runner: runs a manager's coroutines on the background event loop, while the calling thread waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, NamedTuple, TypeVar

from ..exceptions import ManagerClosedError, SessionError
from . import background
from .background import BackgroundLoop
from .call import Call
from .primitives import new_wait_lock

T = TypeVar("T")

_BATCH_SECONDS = 0.002
_BATCH_ITEMS = 256
"""An iterator gets items in batches that take about this long, so that most items need no thread hop."""

_running_loop = asyncio._get_running_loop


class Runner:
    """Runs the coroutines of one manager. Safe in any thread."""

    def __init__(self) -> None:
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result.

        If an exception such as KeyboardInterrupt ends the wait, it propagates, and the coroutine is canceled in the
        background.

        Raises:
            ManagerClosedError: the manager was closed, or the interpreter exits.
            RuntimeError: this thread runs an event loop, which the call would block.

        """
        if self._closed:
            coroutine.close()
            raise ManagerClosedError("this SessionManager was closed")
        return _run(coroutine, self)

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Yield the items of an async generator."""
        started_on, is_last = background.current, False
        try:
            while not is_last:
                batch, is_last, error = self.run(_next_batch(items))
                yield from batch
                if error is not None:
                    raise error
        finally:
            if not is_last and started_on is background.current and not started_on.ended:
                # Nothing waits here: a generator may be collected in any thread, even in that of the background loop.
                call = Call(started_on, items.aclose())
                try:
                    started_on.inbox.put(call.start)
                except SessionError:
                    call.abandon()

    def close(self, aclose: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Refuse further calls, wait for the calls of other threads, and run `aclose`."""
        if _running_loop() is not None:
            raise RuntimeError(_refusal())
        self._closed = True
        if not background.current.stopping:
            _run(self._close(background.current, aclose))

    async def _close(self, background: BackgroundLoop, aclose: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while calls := [call for call in background.calls if call.owner is self]:
            is_done = asyncio.get_running_loop().create_future()
            calls[0].add_done_callback(is_done.set_result)
            await is_done
        await aclose()


def _run(coroutine: Coroutine[Any, Any, T], owner: object = None) -> T:
    if _running_loop() is not None:
        coroutine.close()
        raise RuntimeError(_refusal())
    current = background.current
    try:
        lock = current.free_locks.pop()
    except IndexError:
        lock = new_wait_lock()
    call = Call(current, coroutine, lock, owner)
    try:
        current.inbox.put(call.start)
        lock.acquire()
    except BaseException:
        # The lock is not used again, because the call may still release it.
        _abandon(current, call)
        raise
    current.free_locks.append(lock)
    if call.error is None:
        result: T = call.result
        return result
    error, call.error = call.error, None
    try:
        raise error
    finally:
        del error  # Its traceback refers to this frame.


def _abandon(current: BackgroundLoop, call: Call) -> None:
    try:
        current.inbox.put(call.abandon)
    except (SessionError, RuntimeError):  # There is no thread.
        call.abandon()


def _refusal() -> str:
    if asyncio.get_running_loop() is getattr(background.current, "loop", None):
        return "a function that the background event loop calls must not call a synchronous manager"
    return (
        "this thread runs an event loop, which a synchronous call would block: "
        "use chuk_sessions.SessionManager with await"
    )


class _Batch(NamedTuple):
    items: list[Any]
    is_last: bool
    error: Exception | None = None


async def _next_batch(items: AsyncGenerator[Any, None]) -> _Batch:
    batch: list[Any] = []
    time = asyncio.get_running_loop().time
    end = time() + _BATCH_SECONDS
    try:
        async for item in items:
            batch.append(item)
            if len(batch) >= _BATCH_ITEMS or time() >= end:
                return _Batch(batch, False)
    except Exception as error:
        return _Batch(batch, True, error)
    return _Batch(batch, True)
