"""Learns how large the replies of an operation are, and limits how many of them the server may hold at once.

A server keeps the replies that a client has not read in memory, and counts them against maxmemory. So calls with
replies of any size begin with a small window on the common connection. Each small reply widens it by one. The first
large reply makes it one on the connection for large calls, with room for a few megabytes in all. When replies have
been small for a while, the calls return.
"""

from __future__ import annotations

import sys
from typing import Any

from .limiter import InFlightLimiter

LARGE_REPLY = 1 << 16
"""Bytes from which a reply is large."""

_FIRST = 8
_MOST = 128
"""Calls in the widest window: more do not make a server answer faster, and each can turn out to be large."""

_LARGE_BYTES = 1 << 22
"""Expected bytes in a window of large replies: enough to keep the connection busy."""

_DECAY = 15 / 16


class ReplyWindow(InFlightLimiter):
    """The in-flight window of one operation at one node. Belongs to one event loop.

    Attributes:
        limit: calls that may be under way on the common connection; 0 while replies are large.
        expected: a decaying maximum of the large replies' sizes; 0 while replies are small.
        learning: whether a small reply changes anything.

    """

    __slots__ = ("expected_size", "learning", "limit")

    def __init__(self) -> None:
        super().__init__(_FIRST, sys.maxsize)
        self.expected_size = 0.0
        self.limit = _FIRST
        self.learning = True

    def record_reply(self, size: int) -> None:
        """Learn from the size of a reply; 0 stands for any that is small. The call has left `calls` already."""
        if size >= LARGE_REPLY or self.expected_size:
            self._expect(max(float(size), self.expected_size * _DECAY))
        elif self.limit < _MOST:
            self.limit = self._most_calls = self.limit + 1
        self.settle()

    def settle(self) -> None:
        """Admit calls that wait, after others have left `calls`."""
        if self._waiting:
            self._admit()
        self.learning = self.limit < _MOST or bool(self._waiting)

    async def acquire(self, size: int, deadline: float) -> None:
        """Wait for a place in the window."""
        self.learning = True
        await super().acquire(size, deadline)

    def _expect(self, size: float) -> None:
        if size < LARGE_REPLY:
            self.expected_size, self.limit, self._most_calls = 0.0, _FIRST, _FIRST
        else:
            self.expected_size, self.limit, self._most_calls = size, 0, max(1, _LARGE_BYTES // int(size))


def reply_size(reply: Any) -> int:
    """Return how many bytes of text a reply has."""
    if isinstance(reply, bytes):
        return len(reply)
    return sum(map(reply_size, reply)) if isinstance(reply, list) else 0
