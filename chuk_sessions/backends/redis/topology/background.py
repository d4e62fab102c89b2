"""Tasks in the background of a topology."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

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
            cancel_on(self._loop, task)


def cancel_on(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancel a task of an event loop that may be closed."""
    if loop.is_closed():
        # The task can neither continue nor be canceled, and asyncio would log that when it is collected.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    else:
        task.cancel()
