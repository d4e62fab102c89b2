"""A check of linearizability: is there a sequential order of the calls, consistent with real time, that explains all
replies?

The search is Wing and Gong's, with Lowe's cache of visited configurations. A configuration is the set of calls that
have taken effect, and the state that they led to. A call may be next unless a call outside the set ended before it
began. A call with an unknown outcome may take effect at any time after it began, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

MAX_CONFIGURATIONS = 200_000
UNKNOWN: Any = None
"""The result of a call whose reply was lost."""


@dataclass(frozen=True, slots=True)
class Event:
    """A call in a history.

    Attributes:
        step: the call or the wait.
        began, ended: times on a clock that all processes share; `ended` is infinite without a reply.
        result: the reply, or UNKNOWN.
        or_result: another reply that the call may have had.
        optional: whether it may take no effect at all, like an attempt that a retry repeats.

    """

    step: Any
    began: float
    ended: float = inf
    result: Any = UNKNOWN
    or_result: Any = UNKNOWN
    optional: bool = False

    def allows(self, result: Any) -> bool:
        """Tell whether the call can have had this result."""
        return self.result is UNKNOWN or result in (self.result, self.or_result)


class UndecidedError(Exception):
    """The history has too many calls at the same time, or lost ones, to be checked in a reasonable time."""


Perform = Callable[[Any, Any], tuple[Any, Any]]


def linearizable(history: Sequence[Event], start: Any, perform: Perform) -> bool:
    """Tell whether the history is linearizable from the state `start`. States must be hashable.

    Raises UndecidedError after 200,000 configurations.
    """
    events = sorted(history, key=lambda event: event.began)
    needed = sum(1 << number for number, event in enumerate(events) if not (event.result is UNKNOWN or event.optional))
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
        if len(seen) > MAX_CONFIGURATIONS:
            raise UndecidedError
    return False


def _following(events: Sequence[Event], done: int, state: Any, perform: Perform) -> Iterator[tuple[int, Any]]:
    for number in _next(events, done):
        event = events[number]
        if event.optional:
            yield done | 1 << number, state
        after, result = perform(state, event.step)
        # A lost call that would change nothing is the same as one that never took effect.
        if event.allows(result) and not (event.result is UNKNOWN and after == state):
            yield done | 1 << number, after


def _next(events: Sequence[Event], done: int) -> list[int]:
    """Return the calls that may take effect next. The last one, which ended first, is tried first."""
    first_end = inf
    found = []
    for number, event in enumerate(events):
        if event.began > first_end:
            break
        if not done >> number & 1:
            found.append(number)
            first_end = min(first_end, event.ended)
    return sorted(found, key=lambda number: events[number].ended, reverse=True)
