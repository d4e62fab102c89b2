"""Processes that take steps concurrently, and record when each call began, when it ended, and what it returned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, Self

from chuk_sessions.backends.redis import RedisBackend, scripts
from chuk_sessions.core import operations
from chuk_sessions.core.operation import Call
from chuk_sessions.core.statuses import GONE, OK
from chuk_sessions.exceptions import ProviderError, SessionUnavailableError
from tests.harness.worlds import NOW_FROM_KEY, NOW_KEY
from tests.linearizability.checker import UNKNOWN, Event
from tests.linearizability.model import Step, Wait, comparable
from tests.linearizability.strategies import PROCESSES

TIMEOUT = 30.0


class Recorder:
    """A client that takes the steps of one process, and retries a call up to `retries` times."""

    def __init__(self, url: str, retries: int) -> None:
        self._backend = RedisBackend(url, loaded=scripts.load({"now": NOW_FROM_KEY}), retries=retries)
        self._repeats = retries > 0

    async def record(self, tasks: Sequence[Sequence[Step]]) -> list[Event]:
        """Run tasks concurrently, and return their events."""
        return await gathered(map(self._record_task, tasks))

    async def close(self) -> None:
        await self._backend.aclose()

    async def _record_task(self, steps: Sequence[Step]) -> list[Event]:
        return [event for step in steps for event in await self._record_step(step)]

    async def _record_step(self, step: Step) -> list[Event]:
        began = time.monotonic_ns()
        try:
            result = comparable(step, await self._take(step))
        except ProviderError as error:
            return [] if was_not_applied(step, error) else [Event(step, began)]
        return self._seen(step, began, time.monotonic_ns(), result)

    async def _take(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return (await self._backend.command("INCRBY", NOW_KEY, step.ms, retryable=False))[0]
        return await self._backend.run(step._replace(operation=operations.ALL[step.operation.name]))

    def _seen(self, step: Step, began: int, ended: int, result: Any) -> list[Event]:
        if not (self._repeats and isinstance(step, Call) and step.operation.may_retry(step.argv)):
            return [Event(step, began, ended, result)]
        # If the call was retried, an attempt before the one with a reply may have taken effect, too.
        found_nothing = (GONE,) if step.operation.name == "delete" and result == (OK,) else UNKNOWN
        return [Event(step, began), Event(step, began, ended, result, found_nothing)]


async def gathered(tasks: Iterable[Coroutine[Any, Any, list[Event]]]) -> list[Event]:
    """Run tasks concurrently, and return the events of all."""
    return [event for events in await asyncio.gather(*tasks) for event in events]


def was_not_applied(step: Step, error: ProviderError) -> bool:
    """Tell whether the error promises that the call did not take effect.

    The error of a call that may be retried does not: an earlier attempt may have taken effect.
    """
    may_retry = isinstance(step, Call) and step.operation.may_retry(step.argv)
    return isinstance(error, SessionUnavailableError) and not may_retry


def work(url: str, retries: int, recorder_type: Callable[[str, int], Any], barrier: Barrier, pipe: Connection) -> None:
    """Run a process: take the steps that arrive, at the same time as the others, until None arrives."""
    with asyncio.Runner() as runner:
        recorder = recorder_type(url, retries)
        while (tasks := pipe.recv()) is not None:
            barrier.wait(TIMEOUT)
            pipe.send(runner.run(recorder.record(tasks)))
        runner.run(recorder.close())


class Processes:
    """Processes that work on one server."""

    def __init__(self, url: str, retries: int, recorder_type: Callable[[str, int], Any] = Recorder) -> None:
        context = get_context("spawn")
        self._barrier = context.Barrier(PROCESSES)
        pipes = [context.Pipe() for _ in range(PROCESSES)]
        self._pipes = [own_end for own_end, _ in pipes]
        self._processes = [
            context.Process(target=work, args=(url, retries, recorder_type, self._barrier, process_end), daemon=True)
            for _, process_end in pipes
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
            process.join(TIMEOUT)

    def begin(self, plan: Sequence[Any]) -> None:
        """Start the part of every process, which its recorder understands."""
        for pipe, tasks in zip(self._pipes, plan, strict=True):
            pipe.send(tasks)

    def are_busy(self) -> bool:
        """Tell whether a process is still at work."""
        return not all(pipe.poll() for pipe in self._pipes)

    def history(self) -> list[Event]:
        """Return the events of all processes."""
        assert all(pipe.poll(TIMEOUT) for pipe in self._pipes)
        return [event for pipe in self._pipes for event in pipe.recv()]
