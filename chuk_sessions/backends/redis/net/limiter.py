"""The in-flight limiter of a node: it bounds the calls in flight and their bytes. Calls over the limit wait, first in,
first out.
"""

from __future__ import annotations

import asyncio
from collections import deque

from .resp import NotSentError


class InFlightLimiter:
    """A limit on calls and bytes in flight. Belongs to one event loop.

    Attributes:
        calls: calls in flight.
        bytes: their packed size.

    """

    __slots__ = ("_max_bytes", "_max_calls", "_waiters", "bytes", "calls")

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls: float = max_calls
        self._max_bytes = max_bytes
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()
        self.calls = 0
        self.bytes = 0

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return len(self._waiters)

    def try_acquire(self, size: int) -> bool:
        """Admit a call of `size` bytes and return True, or return False if it must wait."""
        # Every call passes here, so this repeats `_fits` instead of calling it.
        calls, total = self.calls, self.bytes + size
        if self._waiters or calls >= self._max_calls or (total > self._max_bytes and calls):
            return False
        self.calls, self.bytes = calls + 1, total
        return True

    async def acquire(self, size: int, deadline: float) -> None:
        """Wait until a call of `size` bytes is admitted. Raises NotSentError if it is not admitted by the deadline (a
        time of the event loop's clock).
        """
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((admitted, size))
        try:
            async with asyncio.timeout_at(deadline):
                await admitted
        except BaseException as error:
            self._give_up(admitted, size)
            if isinstance(error, TimeoutError):
                raise NotSentError("too many calls in flight") from None
            raise

    def release(self, calls: int, size: int) -> None:
        """Release `calls` calls of `size` bytes in all, and admit those that wait."""
        self.calls -= calls
        self.bytes -= size
        if self._waiters:
            self._admit()

    def _fits(self, size: int) -> bool:
        # A call larger than the limit itself is admitted when nothing else is in flight. Otherwise it never would be.
        return self.calls < self._max_calls and (self.bytes + size <= self._max_bytes or not self.calls)

    def _admit(self) -> None:
        while self._waiters:
            admitted, size = self._waiters[0]
            if not admitted.done():
                if not self._fits(size):
                    return
                self.calls += 1
                self.bytes += size
                admitted.set_result(None)
            self._waiters.popleft()

    def _give_up(self, admitted: asyncio.Future[None], size: int) -> None:
        # The call may have been admitted at the moment when it gave up. Then its room goes to the next call.
        if admitted.done() and not admitted.cancelled():
            self.release(1, size)
            return
        admitted.cancel()
        self._admit()
