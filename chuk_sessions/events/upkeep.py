"""Upkeep: the work of a reader besides delivery. It stores cursors, renews leases, sweeps, and trims."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from ..core import reader_operations
from ..engine.executor import Executor
from ..exceptions import SessionError
from .leases import Leases

logger = logging.getLogger("chuk_sessions.events")

Sweep = Callable[[Collection[int]], Awaitable[object]]
"""Reports the expired sessions in some buckets."""

_SWEEP_SECONDS: Final = 1.0
"""Time between sweeps. Expired sessions are reported within twice that time."""

_COMMIT_SECONDS: Final = 0.05
"""Least time between two rounds of commits. The first one follows an acknowledgment at once."""

_RETRY_SECONDS: Final = 0.2
"""Pause after a failed round of renewals."""


class Upkeep:
    """The background tasks of a reader in one process. Outages do not end them."""

    def __init__(self, executor: Executor, leases: Leases, sweep: Sweep) -> None:
        self._executor = executor
        self._leases = leases
        self._sweep = sweep
        self._acknowledged = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False

    async def start(self) -> None:
        """Claim buckets, and start the tasks. Raises the error of the store if it cannot be reached."""
        wait = await self._leases.renew()
        loops = (self._renew(wait), self._commit(), self._sweep_and_trim())
        self._tasks = [asyncio.get_running_loop().create_task(loop) for loop in loops]

    def acknowledged(self) -> None:
        """Have the store keep the cursors that have moved."""
        self._acknowledged.set()

    def check(self) -> None:
        """Raise the exception of a task that has failed."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def aclose(self) -> None:
        """Cancel the tasks, and release all leases. Do nothing the second time, which would open connections again."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._leases.aclose()

    async def _renew(self, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            try:
                wait = await self._leases.renew()
            except SessionError as error:
                logger.debug("leases were not renewed: %s", error)
                wait = _RETRY_SECONDS

    async def _commit(self) -> None:
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            held = self._leases.held.values()
            await self._leases.store([bucket for bucket in held if bucket.is_dirty or bucket.leaving])
            await asyncio.sleep(_COMMIT_SECONDS)

    async def _sweep_and_trim(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._trim()
            await self._sweep_buckets([number for number, bucket in self._leases.held.items() if not bucket.leaving])

    async def _sweep_buckets(self, numbers: list[int]) -> None:
        """Sweep all buckets together or, if some of them fail, each one alone."""
        try:
            await self._sweep(numbers)
        except SessionError as error:
            logger.debug("expired sessions were not swept: %s", error)
            outcomes = await asyncio.gather(*[self._sweep([number]) for number in numbers], return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException) and not isinstance(outcome, SessionError):
                    raise outcome from None

    async def _trim(self) -> None:
        moved = [bucket for bucket in self._leases.held.values() if bucket.stored != bucket.trimmed]
        cursors = [bucket.stored for bucket in moved]
        outcomes = await self._executor.settle_all([reader_operations.trim(bucket.number) for bucket in moved])
        for bucket, cursor, outcome in zip(moved, cursors, outcomes, strict=True):
            if not isinstance(outcome, SessionError):
                bucket.trimmed = cursor
