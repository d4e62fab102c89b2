"""The in-flight window of calls whose replies can be large: it learns their sizes, and limits how many replies a server
holds at once.

A server keeps the replies that a client has not read in memory, and counts them toward maxmemory. Calls with replies
of unknown size therefore start with a small window on the common connection. Each small reply widens the window by one
call. The first large reply moves the calls to the connection for large calls, with a window of a few megabytes in all.
Once replies have been small for a while, the calls return to the common connection.
"""

from __future__ import annotations

import sys
from typing import Any

from .limiter import InFlightLimiter

LARGE_REPLY = 1 << 16
"""Replies of at least this many bytes are large."""

_INITIAL_CALLS = 8
_MAX_CALLS = 128
"""Calls in the widest window. More calls would not make the server reply faster, and each reply can be large."""

_LARGE_BYTES = 1 << 22
"""Expected bytes in a window of large replies: enough to keep the connection busy."""

_DECAY = 15 / 16


class ReplyWindow(InFlightLimiter):
    """The in-flight window of one operation at one node. Belongs to one event loop.

    Attributes:
        limit: calls that may be in flight on the common connection; 0 while replies are large.
        expected_size: a decaying maximum of the sizes of large replies, in bytes; 0 while replies are small.
        learning: whether a small reply changes the window or admits a waiting call.

    """

    __slots__ = ("expected_size", "learning", "limit")

    def __init__(self) -> None:
        super().__init__(_INITIAL_CALLS, sys.maxsize)
        self.expected_size = 0.0
        self.limit = _INITIAL_CALLS
        self.learning = True

    def record_reply(self, size: int) -> None:
        """Learn from the size of a reply in bytes, or 0 for any small reply. The caller has already decremented
        `calls`.
        """
        if size >= LARGE_REPLY or self.expected_size:
            self._expect(max(float(size), self.expected_size * _DECAY))
        elif self.limit < _MAX_CALLS:
            self.limit = self._max_calls = self.limit + 1
        self.admit_waiting()

    def admit_waiting(self) -> None:
        """Admit waiting calls after others have left. The caller has already decremented `calls`."""
        if self._waiters:
            self._admit()
        self.learning = self.limit < _MAX_CALLS or bool(self._waiters)

    async def acquire(self, size: int, deadline: float) -> None:
        """Wait for room in the window. Raises NotSentError if there is no room by the deadline."""
        self.learning = True
        await super().acquire(size, deadline)

    def _expect(self, size: float) -> None:
        if size < LARGE_REPLY:
            self.expected_size, self.limit, self._max_calls = 0.0, _INITIAL_CALLS, _INITIAL_CALLS
        else:
            self.expected_size, self.limit, self._max_calls = size, 0, max(1, _LARGE_BYTES // int(size))


def reply_size(reply: Any) -> int:
    """Return the number of bytes in all strings of a reply."""
    if isinstance(reply, bytes):
        return len(reply)
    if isinstance(reply, dict):
        return sum(map(reply_size, reply)) + sum(map(reply_size, reply.values()))
    return sum(map(reply_size, reply)) if isinstance(reply, list) else 0
