"""Locks by key that tasks of different event loops and threads can wait for."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Lock
from weakref import WeakSet

_Waiting = dict[str, deque[Future[None]]]


class KeyLocks:
    """One lock per key, first come, first served.

    asyncio's own locks belong to one event loop, and waiting for a lock of threading would block the loop.

    A key is in `_waiting` while its lock is held. Its queue contains the waiting tasks. A forked child starts with an
    empty dict, because the tasks and threads that hold locks remain in the parent.
    """

    def __init__(self) -> None:
        self._mutex = Lock()
        self._waiting: _Waiting = {}
        _ALL.add(self)

    def abandon_after_fork(self) -> None:
        """Forget all locks in a forked child."""
        self._mutex = Lock()
        self._waiting = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of a key."""
        waiting = await self._acquire(key)
        try:
            yield
        finally:
            self._release(key, waiting)

    async def _acquire(self, key: str) -> _Waiting:
        """Wait for the lock of a key. Return the dict that holds the lock, because a fork replaces the dict."""
        turn: Future[None] = Future()
        with self._mutex:
            waiting = self._waiting
            queue = waiting.get(key)
            if queue is None:
                waiting[key] = deque()
                return waiting
            queue.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except BaseException:
            # The task was canceled while it waited. If it was given the lock at the same moment, pass the lock on.
            if not turn.cancelled() and not turn.cancel():
                self._release(key, waiting)
            raise
        return waiting

    def _release(self, key: str, waiting: _Waiting) -> None:
        with self._mutex:
            queue = waiting[key]
            while queue:
                turn = queue.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            del waiting[key]


_ALL: WeakSet[KeyLocks] = WeakSet()


def _after_fork() -> None:
    for locks in list(_ALL):
        locks.abandon_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
