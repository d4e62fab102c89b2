"""Learns how large the replies of an operation are, and limits how many of them the server may hold at once.

A server keeps the replies that a client has not read in memory, and counts them against maxmemory. So calls with
replies of any size begin with a small window on the common connection. Each small reply widens it by one. The first
large reply closes it: from then on these calls take a connection of their own, with a bound in expected bytes. When
replies have been small for a while, the window opens again.
"""

from __future__ import annotations

import sys
from math import inf
from typing import Any

from .gate import Gate

LARGE_REPLY = 1 << 16
"""Bytes from which a reply is large."""

_FIRST_LIMIT = 8
_MOST = 128
"""Calls in the widest window: more do not make a server answer faster, and each can turn out to be large."""

_DECAY = 15 / 16


class ReplyWindow(Gate):
    """The in-flight window of one operation at one node. Belongs to one event loop.

    Attributes:
        limit: calls that may be under way on the common connection; 0 while replies are large.
        expected: a decaying maximum of the large replies' sizes; 0 while replies are small.
        learning: whether a small reply changes anything.

    """

    __slots__ = ("expected", "learning", "limit")

    def __init__(self) -> None:
        super().__init__(_FIRST_LIMIT, sys.maxsize)
        self.expected = 0.0
        self.limit = _FIRST_LIMIT
        self.learning = True

    def answered(self, size: int) -> None:
        """Learn from the size of a reply; 0 stands for any that is small. The call has left `calls` already."""
        if size >= LARGE_REPLY:
            self.expected = max(float(size), self.expected * _DECAY)
            self._resize(0)
        elif self.expected:
            self.expected *= _DECAY
            if self.expected < LARGE_REPLY:
                self.expected = 0.0
                self._resize(_FIRST_LIMIT)
        elif self.limit < _MOST:
            self._resize(self.limit + 1)
        self.settle()

    def settle(self) -> None:
        """Admit calls that wait, after others have left `calls`."""
        if self._waiting:
            self._admit()
        self.learning = self.limit < _MOST or bool(self._waiting)

    async def wait(self, size: int, deadline: float) -> None:
        """Wait for a place in the window, or for its end."""
        self.learning = True
        await super().wait(size, deadline)

    def _resize(self, limit: int) -> None:
        """Set the limit; 0 admits all that wait, to the other connection."""
        self.limit = limit
        self._most_calls = limit or inf


def size_of(reply: Any) -> int:
    """Return how many bytes of text a reply has."""
    if isinstance(reply, bytes):
        return len(reply)
    return sum(map(size_of, reply)) if isinstance(reply, list) else 0
