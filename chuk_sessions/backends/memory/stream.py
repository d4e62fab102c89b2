"""A stream: entries in the order in which they were added, each under an id that is higher than all earlier ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

StreamId = tuple[int, int]
"""A time in ms, and a number that tells the entries of one ms apart."""

_LAST_NUMBER = 2**64 - 1
_NODE = 100
"""Most entries that an approximate cap lets stay above it, like a server that drops whole nodes of entries."""


class Stream:
    """A list of entries.

    Attributes:
        added: how many entries were ever added.
        last: the id of the newest entry, even if it has been removed; (0, 0) without one.

    """

    __slots__ = ("_entries", "_ids", "added", "last")

    def __init__(self) -> None:
        self._ids: list[StreamId] = []
        self._entries: list[Sequence[bytes]] = []
        self.last: StreamId = (0, 0)
        self.added = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, now: int, fields: Sequence[bytes]) -> StreamId:
        """Add an entry of field, value, field, value... Return its id, which never goes back when the clock does."""
        ms, number = self.last
        self.last = (now, 0) if now > ms else (ms, number + 1)
        self._ids.append(self.last)
        self._entries.append(fields)
        self.added += 1
        return self.last

    def between(self, first: bytes, last: bytes, limit: int | None = None) -> list[list[bytes | list[bytes]]]:
        """Return at most `limit` entries, each as its id and its fields. The bounds are those of XRANGE."""
        start, end = self._position(first, is_first=True), self._position(last, is_first=False)
        end = end if limit is None else min(end, start + limit)
        return [[id_text(self._ids[place]), list(self._entries[place])] for place in range(start, end)]

    def fields(self) -> list[list[bytes]]:
        """Return the fields of all entries, each as field, value, field, value..."""
        return [list(fields) for fields in self._entries]

    def keep_last(self, most: int) -> int:
        """Remove the oldest entries above about `most`, like MAXLEN ~. Return how many were removed."""
        return self._drop(len(self) - most) if len(self) > most + _NODE else 0

    def remove_before(self, first: bytes) -> int:
        """Remove the entries with lower ids, like MINID. Return how many were removed."""
        return self._drop(self._position(first, is_first=True))

    def _drop(self, number: int) -> int:
        del self._ids[:number], self._entries[:number]
        return number

    def _position(self, bound: bytes, *, is_first: bool) -> int:
        if bound in (b"-", b"+"):
            return 0 if bound == b"-" else len(self)
        exclusive, text = bound[:1] == b"(", bound.removeprefix(b"(")
        ms, has_number, number = text.partition(b"-")
        stream_id = int(ms), int(number) if has_number else 0 if is_first else _LAST_NUMBER
        return (bisect_left if is_first is not exclusive else bisect_right)(self._ids, stream_id)


def id_text(stream_id: StreamId) -> bytes:
    """Return an id as the server writes it."""
    return b"%d-%d" % stream_id


def parse_id(text: bytes) -> StreamId:
    """Return an id from the text that the server writes."""
    ms, _, number = text.partition(b"-")
    return int(ms), int(number)
