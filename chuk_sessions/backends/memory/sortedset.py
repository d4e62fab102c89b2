"""A sorted set: members with whole-number scores, in the order of score and then member."""

from __future__ import annotations

from bisect import bisect_left, insort


class SortedSet:
    """Scores by member, beside one list in order. Adding moves part of that list, which is fast at the sizes that 256
    buckets leave each set with.
    """

    __slots__ = ("_order", "_scores")

    def __init__(self) -> None:
        self._scores: dict[bytes, int] = {}
        self._order: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._scores)

    def items(self) -> list[tuple[bytes, int]]:
        """(member, score) in order."""
        return [(member, score) for score, member in self._order]

    def add(self, member: bytes, score: int) -> None:
        """Add a member, or move it."""
        present = self._scores.get(member)
        if present == score:
            return
        if present is not None:
            del self._order[bisect_left(self._order, (present, member))]
        self._scores[member] = score
        entry, order = (score, member), self._order
        # New sessions mostly end later than all others.
        if not order or entry > order[-1]:
            order.append(entry)
        else:
            insort(order, entry)

    def remove(self, member: bytes) -> None:
        """Remove a member, if it is there."""
        score = self._scores.pop(member, None)
        if score is not None:
            del self._order[bisect_left(self._order, (score, member))]

    def score(self, member: bytes) -> int | None:
        """The score of a member, or None."""
        return self._scores.get(member)

    def between(self, lowest: int, highest: int | None, limit: int | None = None) -> list[bytes]:
        """Members with lowest <= score <= highest (None: no upper end), at most `limit`."""
        if highest is not None and (not self._order or self._order[0][0] > highest):
            return []
        first, last = self._span(lowest, highest)
        if limit is not None:
            last = min(last, first + limit)
        return [member for _, member in self._order[first:last]]

    def count(self, lowest: int, highest: int | None) -> int:
        """How many members have lowest <= score <= highest."""
        first, last = self._span(lowest, highest)
        return last - first

    def first(self) -> tuple[bytes, int] | None:
        """The member with the lowest score, with its score, or None."""
        if not self._order:
            return None
        score, member = self._order[0]
        return member, score

    def _span(self, lowest: int, highest: int | None) -> tuple[int, int]:
        first = bisect_left(self._order, (lowest, b""))
        last = len(self._order) if highest is None else bisect_left(self._order, (highest + 1, b""))
        return first, max(first, last)
