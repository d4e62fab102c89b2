"""Queues by key, in which tasks of one event loop take turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from typing import Final
from weakref import WeakKeyDictionary

from ..exceptions import ProviderError

_Queues = dict[Hashable, deque[asyncio.Future[bool]]]

_queues_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queues] = WeakKeyDictionary()
"""For each event loop, the keys whose turn is taken, each with the tasks that wait. The others take no memory."""

_FIRST: Final = True
"""The result of waiting: the task has the turn, and must pass it on."""
_AT_ONCE: Final = False
"""The result of waiting: the task need not wait any longer, but does not have the turn."""


@asynccontextmanager
async def turn(key: Hashable) -> AsyncIterator[None]:
    """Wait for the turn of a key, first come, first served, and take it.

    Turns only save work: nothing may depend on them. If the store fails during a turn, all tasks in the queue continue
    at once, because waiting for one timeout after another would take too long.
    """
    queues = _queues_of_loops.setdefault(asyncio.get_running_loop(), {})
    has_turn = await _wait(queues, key)
    try:
        yield
    except ProviderError:
        if has_turn:
            _release_all(queues, key)
            has_turn = False
        raise
    finally:
        if has_turn:
            _pass_on(queues, key)


async def _wait(queues: _Queues, key: Hashable) -> bool:
    queue = queues.get(key)
    if queue is None:
        queues[key] = deque()
        return _FIRST
    waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    queue.append(waiting)
    try:
        return await waiting
    except asyncio.CancelledError:
        if waiting.cancelled():
            with suppress(ValueError):
                queue.remove(waiting)
        elif waiting.result() is _FIRST:
            _pass_on(queues, key)
        raise


def _pass_on(queues: _Queues, key: Hashable) -> None:
    queue = queues[key]
    while queue:
        waiting = queue.popleft()
        if not waiting.done():
            waiting.set_result(_FIRST)
            return
    del queues[key]


def _release_all(queues: _Queues, key: Hashable) -> None:
    for waiting in queues.pop(key):
        if not waiting.done():
            waiting.set_result(_AT_ONCE)
