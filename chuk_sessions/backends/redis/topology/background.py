"""Tasks in the background of a topology."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..net.orphans import cancel

T = TypeVar("T")


class BackgroundTasks:
    """A set of tasks to await or cancel together. Belongs to one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self) -> None:
        """Wait until the tasks are done. Raises the first error among them."""
        await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        """Cancel the tasks that are not done. Does not wait."""
        for task in self._tasks:
            cancel(task)
