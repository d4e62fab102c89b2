"""Processes that take steps at the same time and write down when each began, when it ended, and what it answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
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
from tests.linearizability.strategies import PROCESSES, Plan

GIVE_UP = 30.0


class Recorder:
    """Takes the steps of one process. `retries` is how often lost calls may be repeated."""

    def __init__(self, url: str, retries: int) -> None:
        self._backend = RedisBackend(url, loaded=scripts.load({"now": NOW_FROM_KEY}), retries=retries)
        self._repeats = retries > 0

    async def record(self, tasks: Sequence[Sequence[Step]]) -> list[Event]:
        """The events of tasks that run side by side."""
        found = await asyncio.gather(*map(self._record_task, tasks))
        return [event for events in found for event in events]

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
            return (await self._backend.command("INCRBY", NOW_KEY, step.ms, repeatable=False))[0]
        return await self._backend.run(step._replace(operation=operations.ALL[step.operation.name]))

    def _seen(self, step: Step, began: int, ended: int, result: Any) -> list[Event]:
        if not (self._repeats and isinstance(step, Call) and step.operation.may_retry(step.argv)):
            return [Event(step, began, ended, result)]
        # A call that was sent twice may have had an effect before the one that was answered.
        found_nothing = (GONE,) if step.operation.name == "delete" and result == (OK,) else UNKNOWN
        return [Event(step, began), Event(step, began, ended, result, found_nothing)]


def was_not_applied(step: Step, error: ProviderError) -> bool:
    """Whether the error promises that nothing was: what is repeated promises only that this does no harm."""
    may_repeat = isinstance(step, Call) and step.operation.may_retry(step.argv)
    return isinstance(error, SessionUnavailableError) and not may_repeat


def work(url: str, retries: int, barrier: Barrier, pipe: Connection) -> None:
    """A process: takes the steps it is sent, at the same moment as the others, until it is sent None."""
    with asyncio.Runner() as runner:
        recorder = Recorder(url, retries)
        while (tasks := pipe.recv()) is not None:
            barrier.wait(GIVE_UP)
            pipe.send(runner.run(recorder.record(tasks)))
        runner.run(recorder.close())


class Processes:
    """A few processes that work on one server."""

    def __init__(self, url: str, retries: int) -> None:
        context = get_context("spawn")
        self._barrier = context.Barrier(PROCESSES)
        pipes = [context.Pipe() for _ in range(PROCESSES)]
        self._pipes = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=work, args=(url, retries, self._barrier, theirs), daemon=True) for _, theirs in pipes
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if process.is_alive():
                pipe.send(None)
            process.join(GIVE_UP)

    def begin(self, plan: Plan) -> None:
        """Let every process begin its part."""
        for pipe, tasks in zip(self._pipes, plan, strict=True):
            pipe.send(tasks)

    def are_busy(self) -> bool:
        """Whether one is still at it."""
        return not all(pipe.poll() for pipe in self._pipes)

    def history(self) -> list[Event]:
        """What all of them saw."""
        assert all(pipe.poll(GIVE_UP) for pipe in self._pipes)
        return [event for pipe in self._pipes for event in pipe.recv()]
