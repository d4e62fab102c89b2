"""Work that a cancellation must not interrupt halfway."""

from __future__ import annotations

import asyncio
from asyncio.tasks import _unregister_task
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_background: set[asyncio.Task[Any]] = set()
"""Tasks that no caller awaits. The event loop alone holds no strong reference to them."""


class CriticalSection:
    """Work that is completed once it has begun, even if the awaiting task is canceled or the event loop shuts down.

    Attributes:
        canceled: whether the awaiting task has been canceled. Work that can still be undone should then be undone and
            raise CancelledError.

    """

    def __init__(self) -> None:
        self.canceled = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of the work, after a cancellation too.

        A cancellation waits until the work has finished, which takes as long as its calls may take. If the work was
        undone, the cancellation is raised here. Otherwise it came too late: the caller gets the result, and the
        cancellation at its next await. A timeout or task group whose block has been left by then has withdrawn it.
        """
        task = asyncio.get_running_loop().create_task(work)
        # A loop that shuts down cancels all registered tasks and waits for them. The awaiting task stays registered.
        _unregister_task(task)
        reasons: tuple[Any, ...] = ()
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                self.canceled, reasons = True, error.args
        if self.canceled and not task.cancelled():
            _cancel_soon(*reasons)
        return task.result()


def _cancel_soon(*reasons: Any) -> None:
    """Deliver a delayed cancellation to the current task again, unless it is withdrawn by then."""
    task = asyncio.current_task()
    assert task is not None, "only tasks are canceled"
    requests = task.cancelling()

    def deliver() -> None:
        if not task.done() and task.cancelling() >= requests:
            task.uncancel()
            task.cancel(*reasons)

    asyncio.get_running_loop().call_soon(deliver)


def run_in_background(work: Coroutine[Any, Any, object]) -> None:
    """Start work whose result no caller needs."""
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
