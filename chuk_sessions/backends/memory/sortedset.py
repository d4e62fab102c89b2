"""A sorted set: members with whole-number scores, in the order of score and then member."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import islice
from math import inf

_FEW = 32


class SortedSet:
    """Scores by member, beside one list in order. A question that needs the order brings that list up to date first:
    most changes come with no such question between them.
    """

    __slots__ = ("_gone", "_least", "_order", "_scores")

    def __init__(self) -> None:
        # A member that is added or moved goes to the end: what the list does not have yet comes after what it has.
        self._scores: dict[bytes, int] = {}
        self._order: list[tuple[int, bytes]] = []
        self._gone: list[tuple[int, bytes]] = []
        self._least: float = inf

    def __len__(self) -> int:
        return len(self._scores)

    def items(self) -> list[tuple[bytes, int]]:
        """(member, score) in order."""
        return [(member, score) for score, member in self._ordered()]

    def add(self, member: bytes, score: int) -> None:
        """Add a member, or move it."""
        present = self._scores.get(member)
        if present == score:
            return
        if present is not None:
            self.remove(member)
        self._scores[member] = score
        if score < self._least:  # noqa: PLR1730  (`min` takes as long as all the rest)
            self._least = score

    def remove(self, member: bytes) -> None:
        """Remove a member, if it is there."""
        score = self._scores.pop(member, None)
        if score is not None:
            self._gone.append((score, member))
            if len(self._gone) > len(self._scores) + _FEW:
                self._ordered()

    def score(self, member: bytes) -> int | None:
        """The score of a member, or None."""
        return self._scores.get(member)

    def between(
        self, lowest: int, highest: int | None, limit: int | None = None, after: tuple[int, bytes] | None = None
    ) -> list[bytes]:
        """Members with lowest <= score <= highest (None: no upper end), at most `limit`, and only those after the score
        and member `after`, where it is given.
        """
        if highest is not None and self._least > highest:
            return []
        first, last = self._span(lowest, highest)
        if after is not None:
            first = max(first, bisect_right(self._order, after))
        if limit is not None:
            last = min(last, first + limit)
        return [member for _, member in self._order[first:last]]

    def count(self, lowest: int, highest: int | None) -> int:
        """How many members have lowest <= score <= highest."""
        first, last = self._span(lowest, highest)
        return last - first

    def first(self) -> tuple[bytes, int] | None:
        """The member with the lowest score, with its score, or None."""
        if not self._scores:
            return None
        score, member = self._ordered()[0]
        return member, score

    def last(self) -> tuple[bytes, int] | None:
        """The member with the highest score, with its score, or None."""
        if not self._scores:
            return None
        score, member = self._ordered()[-1]
        return member, score

    def _span(self, lowest: int, highest: int | None) -> tuple[int, int]:
        order = self._ordered()
        first = bisect_left(order, (lowest, b""))
        last = len(order) if highest is None else bisect_left(order, (highest + 1, b""))
        return first, max(first, last)

    def _ordered(self) -> list[tuple[int, bytes]]:
        if not self._gone and len(self._order) == len(self._scores):
            return self._order
        if len(self._gone) + len(self._scores) - len(self._order) > _FEW + len(self._scores) // _FEW:
            self._order = sorted((score, member) for member, score in self._scores.items())
        else:
            self._mend(self._order)
        self._gone.clear()
        self._least = self._order[0][0] if self._order else inf
        return self._order

    def _mend(self, order: list[tuple[int, bytes]]) -> None:
        for entry in self._gone:
            place = bisect_left(order, entry)
            # What was added and removed since is not there.
            if order[place : place + 1] == [entry]:
                del order[place]
        missing = len(self._scores) - len(order)
        for member, score in islice(reversed(self._scores.items()), missing):
            insort(order, (score, member))
