"""A call that a thread makes: a coroutine, and the task that runs it on the background loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

from .primitives import WaitLock, release_after_fork

if TYPE_CHECKING:
    from .background import BackgroundLoop

AnyCoroutine = Coroutine[Any, Any, Any]

_enter_task, _leave_task = asyncio._enter_task, asyncio._leave_task


class Call:
    """A coroutine to run on the background loop, in the context variables of the thread that makes the call.

    It is a task of its own kind ("Extending" in the documentation of asyncio). It takes its first step at once instead
    of in the loop's next iteration, and in its last step it lets the waiting thread continue. `asyncio.current_task()`
    returns it, so it has the methods with which code cancels a task or limits its time.

    Attributes:
        owner: the object that makes the call.
        result: the coroutine's result.
        error: the exception that it raised.

    """

    __slots__ = (
        "__weakref__",
        "_background",
        "_callbacks",
        "_cancel_requests",
        "_context",
        "_coroutine",
        "_done",
        "_fut_waiter",
        "_lock",
        "_loop",
        "_must_cancel",
        "error",
        "owner",
        "result",
    )
    _loop: asyncio.AbstractEventLoop

    def __init__(
        self, background: BackgroundLoop, coroutine: AnyCoroutine, lock: WaitLock | None = None, owner: object = None
    ) -> None:
        """Create a call. If a thread waits for it, it waits with `lock`."""
        self._background = background
        self._coroutine = coroutine
        self._lock = lock
        self._context = copy_context()
        self._callbacks: list[tuple[Callable[[Call], object], Context | None]] | None = None
        self._cancel_requests = 0
        self._done = self._must_cancel = False
        self._fut_waiter: asyncio.Future[Any] | None = None
        self.owner = owner
        self.result: Any = None
        self.error: BaseException | None = None

    # The background thread calls these methods.

    def start(self) -> None:
        """Take the first step."""
        background = self._background
        if background.ended:
            self._coroutine.close()
            self.fail(background.error())
            return
        self._loop = background.loop
        background.calls.add(self)
        self._context.run(self._step)

    def abandon(self) -> None:
        """Cancel the call, because nobody waits for it any more. If it has not been started, it never will be."""
        self._lock = self.error = None
        if hasattr(self, "_loop"):
            self.cancel()
        else:
            self._coroutine.close()

    def fail(self, error: BaseException, *, in_child: bool = False) -> None:
        """End the wait with an error, because no thread runs the call any more, at least not in this forked child."""
        self.error, self._done = error, True
        if self._lock is not None:
            release_after_fork(self._lock) if in_child else self._lock.release()

    def _step(self, _: object = None) -> None:
        loop = self._loop
        self._fut_waiter = None
        _enter_task(loop, cast(Any, self))
        try:
            if self._must_cancel:
                self._must_cancel = False
                waiter = self._coroutine.throw(asyncio.CancelledError())
            else:
                waiter = self._coroutine.send(None)
        except StopIteration as stop:
            self.result = stop.value
        except BaseException as error:  # for the thread that waits
            self.error = error
        else:
            self._suspend(waiter)
            return
        finally:
            _leave_task(loop, cast(Any, self))
        # Only now, when this thread no longer handles the exception and so refers to it.
        self._finish()

    def _suspend(self, waiter: Any) -> None:
        """Arrange the next step: when a future is done, or in the next iteration if the coroutine gives way."""
        if waiter is None:
            self._loop.call_soon(self._step, context=self._context)
        elif getattr(waiter, "_asyncio_future_blocking", None) and waiter.get_loop() is self._loop:
            waiter._asyncio_future_blocking = False
            waiter.add_done_callback(self._step, context=self._context)
            self._fut_waiter = waiter
            if self._must_cancel and waiter.cancel():
                self._must_cancel = False
        else:
            self._coroutine.close()
            self.error = RuntimeError(f"the call awaits {waiter!r}, which is not a future of its event loop")
            self._finish()

    def _finish(self) -> None:
        background = self._background
        self._done = True
        background.calls.discard(self)
        for callback, context in self._callbacks or ():
            self._loop.call_soon(callback, self, context=context)
        if self._lock is None:
            self.error = None  # Its traceback refers to the call. Nobody raises it and thereby breaks the cycle.
        elif not (background.stopping and self.cancelled()):
            # When the interpreter exits, daemon threads keep waiting, so that they do not report an error.
            self._lock.release()

    # The methods of a task.

    def cancel(self, msg: Any = None) -> bool:
        """Raise CancelledError in the coroutine. Returns False when the call is done."""
        if self._done:
            return False
        self._cancel_requests += 1
        if self._fut_waiter is None or not self._fut_waiter.cancel(msg=msg):
            self._must_cancel = True
        return True

    def cancelling(self) -> int:
        """Return how many requests to cancel the call are pending."""
        return self._cancel_requests

    def uncancel(self) -> int:
        """Withdraw a request to cancel the call. Returns how many are left."""
        self._cancel_requests = max(0, self._cancel_requests - 1)
        if not self._cancel_requests:
            self._must_cancel = False
        return self._cancel_requests

    def done(self) -> bool:
        """Return whether the coroutine has ended."""
        return self._done

    def cancelled(self) -> bool:
        """Return whether the coroutine has ended with CancelledError."""
        return isinstance(self.error, asyncio.CancelledError)

    def add_done_callback(self, callback: Callable[[Call], object], *, context: Context | None = None) -> None:
        """Let the loop call a function with the call once it is done."""
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callbacks = [*(self._callbacks or ()), (callback, context)]

    def remove_done_callback(self, callback: Callable[[Call], object]) -> int:
        """Remove a callback. Returns how often it was there."""
        before = self._callbacks or []
        self._callbacks = [entry for entry in before if entry[0] != callback]
        return len(before) - len(self._callbacks)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the background loop."""
        return self._loop

    def get_coro(self) -> AnyCoroutine:
        """Return the coroutine."""
        return self._coroutine

    def get_context(self) -> Context:
        """Return the context variables of the call."""
        return self._context

    def get_name(self) -> str:
        """Return the name of the coroutine."""
        return getattr(self._coroutine, "__qualname__", "call")
