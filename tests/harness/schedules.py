"""Forced interleavings: several tasks work on one backend, and a schedule decides whose call runs next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from random import Random
from typing import Any

from chuk_sessions import Health, SessionManager
from chuk_sessions.core.operation import Call, Operation, Reply, RetryCalls
from chuk_sessions.providers.factory import Factory

from .worlds import World

Work = Callable[[SessionManager], Coroutine[Any, Any, Any]]
"""The work of a task, with a manager whose calls wait for their turn."""

Hook = Callable[[], Coroutine[Any, Any, object]]

_STEPS_TO_NEXT_CALL = 12
"""Iterations of the event loop in which a task gets from one call to its next."""


class Gate:
    """A backend whose calls wait for their turn, or only those of some operations."""

    name = "gated"

    def __init__(self, world: World, gated: Collection[Operation] | None) -> None:
        self._world = world
        self._gated = gated
        self._done = asyncio.Event()
        self.write_hook = world.backend.write_hook
        self.waiting: list[asyncio.Event] = []

    async def run(self, call: Call, retry_calls: RetryCalls | None = None) -> Reply:
        if self._gated is not None and call.operation not in self._gated:
            return await self._world.backend.run(call)
        turn = asyncio.Event()
        self.waiting.append(turn)
        try:
            await turn.wait()
        except asyncio.CancelledError:
            if turn in self.waiting:
                self.waiting.remove(turn)
            raise
        try:
            return await self._world.backend.run(call)
        finally:
            self._done.set()

    async def ping(self) -> Health:
        return await self._world.backend.ping()

    async def aclose(self) -> None:
        """Do nothing: the owner of the wrapped backend closes it."""

    async def take_turn(self, random: Random) -> None:
        """Let one waiting call run until its task waits again, or has ended."""
        self._done.clear()
        self.waiting.pop(random.randrange(len(self.waiting))).set()
        await self._done.wait()
        for _ in range(_STEPS_TO_NEXT_CALL):
            await asyncio.sleep(0)


class Actor:
    """A task that takes its calls in turn with others.

    Attributes:
        task: the task. Its result is the result of the work.
        before, after: run ahead of its first call, and after its end, while no other call runs.

    """

    def __init__(self, world: World, work: Work, gated: Collection[Operation] | None, options: dict[str, Any]) -> None:
        self.gate = Gate(world, gated)
        manager = SessionManager("test", Factory(self.gate, lambda: None), **options)  # type: ignore[type-var]
        self.task = asyncio.get_running_loop().create_task(work(manager))
        self.before: Hook | None = None
        self.after: Hook | None = None


class Schedule:
    """A random interleaving of the calls of several actors."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._actors: list[Actor] = []

    def add(self, work: Work, gated: Collection[Operation] | None = None, **options: Any) -> Actor:
        """Add an actor. Only calls of the operations in `gated` wait for their turn; by default, all. `options` are
        those of its manager.
        """
        self._actors.append(Actor(self._world, work, gated, options))
        return self._actors[-1]

    async def run(self) -> None:
        """Take turns until all actors have ended. Their errors are in their tasks."""
        unfinished = self._actors
        while unfinished:
            await asyncio.sleep(0)
            ready = [actor for actor in unfinished if actor.gate.waiting]
            if ready:
                await self._take_turn(self._random.choice(ready))
            for actor in unfinished:
                if actor.task.done() and actor.after is not None:
                    await actor.after()
            unfinished = [actor for actor in unfinished if not actor.task.done()]

    async def _take_turn(self, actor: Actor) -> None:
        if actor.before is not None:
            before, actor.before = actor.before, None
            await before()
        await actor.gate.take_turn(self._random)
