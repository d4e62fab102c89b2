"""A sorted set: members with scores that are whole numbers or halves, in the order of score and then member."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import islice
from math import inf

_SLACK = 32
"""Changes, plus one per this many members, up to which an update of the list takes less time than sorting it."""


class SortedSet:
    """A dict of scores by member, and a list in order.

    A change updates only the dict, because most changes are followed by further changes. A query that needs the order
    brings the list up to date first, or builds it again after many changes.
    """

    __slots__ = ("_is_outdated", "_last", "_lowest", "_order", "_removed", "_scores")

    def __init__(self) -> None:
        # A member that is added or moved goes to the end of the dict. So the members missing in `_order` are the last.
        self._scores: dict[bytes, float] = {}
        self._order: list[tuple[float, bytes]] = []
        # What to remove from the list, unless so much that the list is outdated as a whole.
        self._removed: list[tuple[float, bytes]] = []
        self._is_outdated = False
        # No score is lower. It is exact only after the list was brought up to date.
        self._lowest: float = inf
        # Known from the first call of `last` on, until that member is removed.
        self._last: tuple[float, bytes] | None = None

    def __len__(self) -> int:
        return len(self._scores)

    def items(self) -> list[tuple[bytes, float]]:
        """Return (member, score) pairs in order."""
        return [(member, score) for score, member in self._ordered()]

    def add(self, member: bytes, score: float) -> None:
        """Add a member, or move it."""
        scores = self._scores
        present = scores.get(member)
        if present == score:
            return
        if present is not None:
            del scores[member]
            self._forget(present, member)
        scores[member] = score
        if self._last is not None and (score, member) > self._last:
            self._last = (score, member)
        if score < self._lowest:  # noqa: PLR1730  (`min` would double the time of this method)
            self._lowest = score

    def remove(self, member: bytes) -> None:
        """Remove a member, if it exists."""
        score = self._scores.pop(member, None)
        if score is not None:
            self._forget(score, member)

    def _forget(self, score: float, member: bytes) -> None:
        if self._last is not None and self._last == (score, member):
            self._last = None
        if self._is_outdated:
            return
        self._removed.append((score, member))
        if len(self._removed) > _SLACK + len(self._scores) // _SLACK:
            self._is_outdated = True
            self._removed.clear()
            self._order.clear()

    def score(self, member: bytes) -> float | None:
        """Return the score of a member, or None."""
        return self._scores.get(member)

    def between(
        self, lowest: float, highest: float | None, limit: int | None = None, after: tuple[float, bytes] | None = None
    ) -> list[bytes]:
        """Return at most `limit` members with lowest <= score <= highest (None: no upper bound).

        `after`: only members after this score and member.
        """
        if highest is not None and self._lowest > highest:
            return []
        first, last = self._span(lowest, highest)
        if after is not None:
            first = max(first, bisect_right(self._order, after))
        if limit is not None:
            last = min(last, first + limit)
        return [member for _, member in self._order[first:last]]

    def count(self, lowest: float, highest: float | None) -> int:
        """Return the number of members with lowest <= score <= highest (None: no upper bound)."""
        first, last = self._span(lowest, highest)
        return last - first

    def first(self) -> tuple[bytes, float] | None:
        """Return the member with the lowest score, and the score, or None."""
        if not self._scores:
            return None
        score, member = self._ordered()[0]
        return member, score

    def last(self) -> tuple[bytes, float] | None:
        """Return the member with the highest score, and the score, or None."""
        if not self._scores:
            return None
        if self._last is None:
            self._last = self._ordered()[-1]
        score, member = self._last
        return member, score

    def _span(self, lowest: float, highest: float | None) -> tuple[int, int]:
        order = self._ordered()
        first = bisect_left(order, (lowest, b""))
        last = len(order) if highest is None else bisect_left(order, (highest + 0.5, b""))
        return first, max(first, last)

    def _ordered(self) -> list[tuple[float, bytes]]:
        missing = len(self._scores) - len(self._order)
        if self._is_outdated or len(self._removed) + missing > _SLACK + len(self._scores) // _SLACK:
            self._order = sorted((score, member) for member, score in self._scores.items())
            self._is_outdated = False
        elif self._removed or missing:
            self._update(self._order)
        else:
            return self._order
        self._removed.clear()
        self._lowest = self._order[0][0] if self._order else inf
        return self._order

    def _update(self, order: list[tuple[float, bytes]]) -> None:
        for entry in self._removed:
            position = bisect_left(order, entry)
            # A member that was added and removed since the last update is not in the list.
            if order[position : position + 1] == [entry]:
                del order[position]
        missing = len(self._scores) - len(order)
        for member, score in islice(reversed(self._scores.items()), missing):
            insort(order, (score, member))
