"""One topology, and so one set of links, for each event loop. Loops that end take theirs with them."""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakSet

from .topology.base import Topology

Loop = asyncio.AbstractEventLoop


class LoopState(NamedTuple):
    """A running loop, its topology, and what closes that when the loop shuts down."""

    loop: Loop
    topology: Topology
    shutdown_hook: AsyncGenerator[None]


class PerLoop:
    """Makes a topology in each event loop that asks for one.

    It is closed by `aclose()`, or at the latest when its loop shuts down: a loop closes its asynchronous generators
    then, and each topology has one for this purpose. A loop that is closed without shutting down is found when the
    next one asks, or at the end of the process.
    """

    def __init__(self, make: Callable[[], Topology]) -> None:
        self._make = make
        self._here: dict[Loop, LoopState] = {}
        _ALL.add(self)

    def current(self) -> LoopState:
        """What there is for the running loop."""
        loop = asyncio.get_running_loop()
        here = self._here.get(loop)
        if here is None:
            here = self._enter(loop)
        return here

    def all(self) -> list[Topology]:
        """Those of all loops that are open."""
        return [here.topology for loop, here in list(self._here.items()) if not loop.is_closed()]

    async def aclose(self) -> None:
        """Close the running loop's topology. A later call opens a new one."""
        here = self._here.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.shutdown_hook.aclose()

    def discard_closed(self) -> None:
        """Close what loops have left behind that were closed without shutting down."""
        for loop in list(self._here):
            if loop.is_closed() and (here := self._here.pop(loop, None)):
                here.topology.abort()

    def abandon_after_fork(self) -> None:
        """In a forked child: all that is here belongs to the parent. Not even to be closed: a loop's selector is
        shared, and what the child takes out of it is gone for the parent too.
        """
        _OF_PARENTS.append(self._here)
        self._here = {}

    def _enter(self, loop: Loop) -> LoopState:
        self.discard_closed()
        topology = self._make()
        here = self._here[loop] = LoopState(loop, topology, self._keep(loop, topology))
        # The first step is what makes the loop know of the generator. It stops at the yield.
        with suppress(StopIteration):
            here.shutdown_hook.__anext__().send(None)
        return here

    async def _keep(self, loop: Loop, topology: Topology) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            here = self._here.get(loop)
            if here is not None and here.topology is topology:
                del self._here[loop]
            await topology.aclose()


_ALL: WeakSet[PerLoop] = WeakSet()
_OF_PARENTS: list[object] = []


def _after_fork() -> None:
    for loops in list(_ALL):
        loops.abandon_after_fork()


@atexit.register
def _at_exit() -> None:
    for loops in list(_ALL):
        loops.discard_closed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
