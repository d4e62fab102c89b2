"""The background event loop of this process, which runs in a thread of its own.

It starts with the first call, serves all threads and managers, and stops when the interpreter exits. A forked child
gets one of its own. No lock protects it, so that a fork or a signal handler can never find one held.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from types import MethodType
from typing import NoReturn

from ..exceptions import ManagerClosedError, OutcomeUnknownError, SessionError, SessionUnavailableError
from .call import Call
from .inbox import Inbox
from .inbox_selector import InboxSelector
from .primitives import WaitLock, gevent_is_active, original, start_daemon

_EXIT_SECONDS = 1.0
"""Most seconds for which the interpreter's exit waits until connections are closed."""


def _exit_error() -> SessionError:
    return ManagerClosedError("the background event loop has ended, because the interpreter exits")


class BackgroundLoop:
    """An event loop, and the thread that runs it.

    Attributes:
        inbox: takes functions to run in the thread. The first one starts the thread.
        loop: the loop, once the thread runs.
        calls: the calls in progress. Only the thread uses them.
        free_locks: locks for callers to wait with, which nobody uses at present.
        stopping: whether the interpreter exits.
        ended: whether it takes no more calls.
        error: returns the error of a call that came too late.

    """

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self.inbox = Inbox(self._start)
        self.calls: set[Call] = set()
        self.free_locks: deque[WaitLock] = deque()
        self.stopping = self.ended = False
        self.error: Callable[[], SessionError] = _exit_error
        self._not_started = [True]
        self._end = original("_thread", "allocate_lock")()
        self._end.acquire()

    def stop(self) -> None:
        """Close all connections and end the thread, if that takes little time. Later calls raise an error."""
        self.stopping = True
        if self._not_started:
            self.inbox.refuse(self._refuse)
            return
        with suppress(SessionError):
            self.inbox.put(self._request_stop)
            self._end.acquire(True, _EXIT_SECONDS)

    def abandon_after_fork(self) -> None:
        """Let the calls in progress fail in a forked child. A signal handler or a greenlet can fork during a call."""
        self.free_locks.clear()
        self.error = partial(ManagerClosedError, "the process was forked during this call, which the parent continues")
        self.inbox.refuse(self._refuse)
        unstarted = {function.__self__ for function in self.inbox.functions if isinstance(function, MethodType)}
        for call in self.calls | {call for call in unstarted if isinstance(call, Call)}:
            call.fail(self.error(), in_child=True)

    def _start(self) -> None:
        start_daemon(self._main)

    def _refuse(self) -> NoReturn:
        raise self.error()

    def _main(self) -> None:
        try:
            self._not_started.pop()
        except IndexError:
            return  # Several callers have started a thread at the same time, and another one came first.
        try:
            self.loop = self._new_loop()
            self._stop = self.loop.create_future()
            with closing(self.loop):
                self.loop.run_until_complete(self._serve())
        except BaseException as failure:
            reason = f"the background event loop failed: {type(failure).__name__}: {failure}"
            self._fail_calls(reason)
            raise
        finally:
            self._end.release()

    def _fail_calls(self, reason: str) -> None:
        """Let all calls fail, and further ones start a new loop."""
        self.error = partial(SessionUnavailableError, reason)
        self.ended = True
        _replace(self)
        self.inbox.refuse(self._refuse)
        self.inbox.run_all()
        for call in list(self.calls):
            call.fail(OutcomeUnknownError(reason))

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        new_loop = asyncio.SelectorEventLoop
        if gevent_is_active():
            from .gevent_support import NativeThreadsLoop  # noqa: PLC0415  (gevent is optional)

            new_loop = NativeThreadsLoop
        if hasattr(os, "eventfd"):
            selector = InboxSelector(self.inbox)
            self.inbox.wake = selector.wake
            return new_loop(selector)
        loop = new_loop()
        loop.call_soon(self.inbox.run_all)
        self.inbox.wake = partial(loop.call_soon_threadsafe, self.inbox.run_all)
        return loop

    async def _serve(self) -> None:
        await self._stop
        for call in list(self.calls):
            call.cancel()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        self.ended = True
        self.inbox.refuse(self._refuse)
        self.inbox.run_all()

    def _request_stop(self) -> None:
        if not self._stop.done():
            self._stop.set_result(None)


current = BackgroundLoop()
"""The background loop of this process."""

_OF_PARENTS: list[BackgroundLoop] = []
"""Loops that forked children keep, so that nothing in them is closed: the files belong to the parent."""


def _replace(ended: BackgroundLoop) -> None:
    global current
    if current is ended:
        current = BackgroundLoop()


def _after_fork() -> None:
    of_parent = current
    _OF_PARENTS.append(of_parent)
    _replace(of_parent)
    of_parent.abandon_after_fork()


@atexit.register
def _at_exit() -> None:
    current.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
