"""The gate: from time to time, all callers that the cache answers wait until the event loop has polled its sockets.

Hits wait for nothing else. Without the gate, a task that only reads cached sessions would keep the loop from reading
reports of changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from ..core import boot_clock

OPEN_SECONDS: Final = 0.0005
"""Seconds for which the gate stays open."""

_SHORT: Final = 0.001
"""Seconds of an iteration of the event loop after which the gate does not open for callers that have not waited."""

_MAX_TURNS: Final = 8


class Gate:
    """The gate of one event loop.

    All waiting callers pass at the same time. Each gets its answer, even if another caller uses up the time for which
    the gate is open. So no caller waits for more than one round.

    Attributes:
        open_until: the time until which hits need not wait (seconds of `boot_clock`).

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_change: Callable[[], object]) -> None:
        """Create a closed gate. `on_change` is called when `open_until` has changed."""
        self.open_until = -inf
        self._loop = loop
        self._on_change = on_change
        self._waiters: list[asyncio.Future[None]] = []
        self._turns = 0
        self._turned_at = 0.0
        self._more_input = False

    def wait(self) -> asyncio.Future[None]:
        """Return a future that is done when the loop has polled its sockets."""
        if not self._waiters:
            self._turns, self._turned_at = 0, boot_clock.now()
            self.open_until = -inf
            self._on_change()
            self._loop.call_soon(self._turn)
        # One for each caller: a canceled one would cancel a future that it shares.
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def on_large_input(self) -> None:
        """Let one more turn pass, because a socket may hold more input than one turn reads."""
        self._more_input = True

    def _turn(self) -> None:
        """Let the waiters pass, in the next iteration of the event loop.

        The sockets were polled after the waiters arrived, and those with input are read in this iteration. After a long
        iteration, new callers must not pass, because no poll has followed their arrival yet.
        """
        now = boot_clock.now()
        self._turns += 1
        if self._more_input and self._turns < _MAX_TURNS:
            self._more_input, self._turned_at = False, now
            self._loop.call_soon(self._turn)
            return
        waiters, self._waiters = self._waiters, []
        if now - self._turned_at < _SHORT:
            self.open_until = now + OPEN_SECONDS
            self._on_change()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
