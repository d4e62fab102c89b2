"""Locks by key that tasks of different event loops and threads can wait for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Lock


class KeyLocks:
    """One lock a key, first come first served. asyncio's own locks belong to one loop, and threading's would block one.

    A key is in `_waiting` while its lock is held; the queue holds those that wait for it.
    """

    def __init__(self) -> None:
        self._mutex = Lock()
        self._waiting: dict[str, deque[Future[None]]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of a key."""
        await self._acquire(key)
        try:
            yield
        finally:
            self._release(key)

    async def _acquire(self, key: str) -> None:
        turn: Future[None] = Future()
        with self._mutex:
            queue = self._waiting.get(key)
            if queue is None:
                self._waiting[key] = deque()
                return
            queue.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except BaseException:
            # Given up while waiting. The turn may have come in the same moment: then it goes to the next one.
            if not turn.cancelled() and not turn.cancel():
                self._release(key)
            raise

    def _release(self, key: str) -> None:
        with self._mutex:
            queue = self._waiting[key]
            while queue:
                turn = queue.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            del self._waiting[key]
