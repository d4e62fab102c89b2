"""The bound on what a node has under way: calls and bytes. Who comes too many waits, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque

from .resp import NotSentError


class InFlightLimiter:
    """Counts calls in and out. Belongs to one event loop."""

    __slots__ = ("_most_bytes", "_most_calls", "_waiting", "bytes", "calls")

    def __init__(self, most_calls: int, most_bytes: int) -> None:
        self._most_calls: float = most_calls
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self.calls = 0
        self.bytes = 0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._waiting)

    def try_acquire(self, size: int) -> bool:
        """Let a call of that many bytes in, unless it must wait."""
        # In the way of every call: what `_fits` says, without calling it.
        calls, total = self.calls, self.bytes + size
        if self._waiting or calls >= self._most_calls or (total > self._most_bytes and calls):
            return False
        self.calls, self.bytes = calls + 1, total
        return True

    async def acquire(self, size: int, deadline: float) -> None:
        """Come in when it is this call's turn. Raises NotSentError when that is not before the deadline."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as failure:
            self._give_up(turn, size)
            if isinstance(failure, TimeoutError):
                raise NotSentError("too many calls under way") from None
            raise

    def release(self, calls: int, size: int) -> None:
        """So many calls of so many bytes are over; the next ones come in."""
        self.calls -= calls
        self.bytes -= size
        if self._waiting:
            self._admit()

    def _fits(self, size: int) -> bool:
        # What is larger than the bound itself goes when nothing else is under way, else it would never go.
        return self.calls < self._most_calls and (self.bytes + size <= self._most_bytes or not self.calls)

    def _admit(self) -> None:
        while self._waiting:
            turn, size = self._waiting[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self.calls += 1
                self.bytes += size
                turn.set_result(None)
            self._waiting.popleft()

    def _give_up(self, turn: asyncio.Future[None], size: int) -> None:
        # The turn may have come in the moment of giving up: then it goes to the next one.
        if turn.done() and not turn.cancelled():
            self.release(1, size)
            return
        turn.cancel()
        self._admit()
