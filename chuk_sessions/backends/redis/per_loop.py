"""The state of each event loop: its topology, and so its connections. It is closed with the loop."""

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
    """A running event loop, its topology, and an async generator that closes the topology when the loop shuts down."""

    loop: Loop
    topology: Topology
    shutdown_hook: AsyncGenerator[None]


class PerLoop:
    """A topology for each event loop that asks for one.

    `aclose()` closes it, or at the latest the shutdown of its loop: a loop then closes its async generators, and each
    topology has one for this purpose. If a loop was closed without a shutdown, its topology is closed when the next
    loop asks for one, or at exit.
    """

    def __init__(self, new_topology: Callable[[], Topology]) -> None:
        self._new_topology = new_topology
        self._states: dict[Loop, LoopState] = {}
        _INSTANCES.add(self)

    def current(self) -> LoopState:
        """Return the state of the running loop. Create it on the first call."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is None:
            state = self._open(loop)
        return state

    def all(self) -> list[Topology]:
        """Return the topologies of all loops that are not closed."""
        return [state.topology for loop, state in list(self._states.items()) if not loop.is_closed()]

    async def aclose(self) -> None:
        """Close the running loop's topology. A later call opens a new one."""
        state = self._states.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.shutdown_hook.aclose()

    def discard_closed(self) -> None:
        """Close the topologies of loops that were closed without a shutdown."""
        for loop in list(self._states):
            if loop.is_closed() and (state := self._states.pop(loop, None)):
                state.topology.abort()

    def abandon_after_fork(self) -> None:
        """Drop all states in a forked child, because they belong to the parent.

        Closing them would affect the parent: both processes share a loop's selector, so a socket that the child removes
        from it is removed for the parent, too.
        """
        _STATES_OF_PARENTS.append(self._states)
        self._states = {}

    def _open(self, loop: Loop) -> LoopState:
        self.discard_closed()
        topology = self._new_topology()
        hook = self._close_at_shutdown(loop, topology)
        self._states[loop] = state = LoopState(loop, topology, hook)
        _run_to_first_yield(hook)
        return state

    async def _close_at_shutdown(self, loop: Loop, topology: Topology) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            state = self._states.get(loop)
            if state is not None and state.topology is topology:
                del self._states[loop]
            await topology.aclose()


def _run_to_first_yield(generator: AsyncGenerator[None]) -> None:
    """Run an async generator to its first `yield`, without awaiting: from then on, its loop's shutdown closes it."""
    with suppress(StopIteration):
        generator.__anext__().send(None)


_INSTANCES: WeakSet[PerLoop] = WeakSet()
_STATES_OF_PARENTS: list[object] = []
"""States that forked children keep, so that nothing in them is collected and closed."""


def _after_fork() -> None:
    for per_loop in list(_INSTANCES):
        per_loop.abandon_after_fork()


@atexit.register
def _at_exit() -> None:
    for per_loop in list(_INSTANCES):
        per_loop.discard_closed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
