"""The places of labels that would overlap where lines end close together."""

from __future__ import annotations

from collections.abc import Sequence


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights as little as necessary, so that each is at least `gap` above the one before."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) < _top(groups[-2], gap) + gap:
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group, gap) + number * gap for group in groups for number in range(len(group))]


def _bottom(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * gap / 2


def _top(group: Sequence[float], gap: float) -> float:
    return _bottom(group, gap) + (len(group) - 1) * gap
