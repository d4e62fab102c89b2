"""Is there an order of the calls, true to what was seen of time, in which a sequential store gives the same replies?

The search of Wing and Gong, with Lowe's memory of what was tried: a configuration is the set of calls that have had
their effect and the state that they led to. A call may come next when no call outside of the set was over before it
began. A call whose outcome nobody knows may have its effect at any time after its beginning, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

MOST_CONFIGURATIONS = 200_000
UNKNOWN: Any = None
"""The result of a call that was lost."""


@dataclass(frozen=True, slots=True)
class Event:
    """A call in a history.

    Attributes:
        step: what was called.
        began, ended: by a clock that all processes share; no end where no reply came.
        result: what it answered, or UNKNOWN.
        or_result: another answer that means the same.

    """

    step: Any
    began: float
    ended: float = inf
    result: Any = UNKNOWN
    or_result: Any = UNKNOWN

    def allows(self, result: Any) -> bool:
        """Whether the call can have had this result."""
        return self.result is UNKNOWN or result in (self.result, self.or_result)


Perform = Callable[[Any, Any], tuple[Any, Any]]


def linearizable(history: Sequence[Event], start: Any, perform: Perform) -> bool:
    """Whether the history is linearizable from the state `start`; states can be hashed."""
    events = sorted(history, key=lambda event: event.began)
    needed = sum(1 << place for place, event in enumerate(events) if event.result is not UNKNOWN)
    seen = {(0, start)}
    stack = [(0, start)]
    while stack:
        done, state = stack.pop()
        if done & needed == needed:
            return True
        for following in _following(events, done, state, perform):
            if following not in seen:
                seen.add(following)
                stack.append(following)
        assert len(seen) < MOST_CONFIGURATIONS, "the history is too long to be checked"
    return False


def _following(events: Sequence[Event], done: int, state: Any, perform: Perform) -> Iterator[tuple[int, Any]]:
    for place in _next(events, done):
        event = events[place]
        after, result = perform(state, event.step)
        # A lost call that changes nothing here may as well never have happened.
        if event.allows(result) and not (event.result is UNKNOWN and after == state):
            yield done | 1 << place, after


def _next(events: Sequence[Event], done: int) -> list[int]:
    """Calls that may have their effect next, the one to try first at the end: that which was over first."""
    first_end = inf
    found = []
    for place, event in enumerate(events):
        if event.began > first_end:
            break
        if not done >> place & 1:
            found.append(place)
            first_end = min(first_end, event.ended)
    return sorted(found, key=lambda place: events[place].ended, reverse=True)
