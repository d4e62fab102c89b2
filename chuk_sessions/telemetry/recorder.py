"""The recorder: counts calls in whole numbers and lists, which takes a fraction of a microsecond for each."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from ..core.call_hook import CallHook
from ..core.figures import Figure
from ..core.operation import Call, Operation, Reply
from ..core.registry import Registry
from .families import BOUNDS, CALLS, ENDED, UNKNOWN
from .outcomes import ENDING, ERRORS, OUTCOME_UNKNOWN, OUTCOMES, REASONS, ended_by, outcome_of_error, outcomes_of

_STATUSES: Final = max(OUTCOMES) + 1


class Durations(NamedTuple):
    """The durations of the calls of one operation.

    Attributes:
        operation: its name.
        buckets: how many calls are in each bucket, one more than `BOUNDS`.
        seconds: their total time.

    """

    operation: str
    buckets: list[int]
    seconds: float


class CountsToo(Protocol):
    """A further counter."""

    def count(self, operation: Operation, outcome: str, seconds: float) -> None:
        """Count a call."""

    def count_ended(self, reason: str, number: int) -> None:
        """Count sessions that a call has ended."""


class _Counts:
    """The counts of one operation."""

    __slots__ = ("buckets", "ends", "errors", "operation", "seconds", "statuses")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.statuses = [0] * _STATUSES
        self.errors = dict.fromkeys(ERRORS, 0)
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.ends = operation in ENDING

    def outcomes(self) -> dict[str, int]:
        """Return the number of calls by outcome, those that did not occur included."""
        found = {OUTCOMES[status]: number for status, number in enumerate(self.statuses) if number}
        return {**dict.fromkeys(outcomes_of(self.operation), 0), **found, **self.errors}


class Recorder:
    """The counter of the calls to one backend.

    Threads share it. An increment is not interrupted by other threads, so none is lost.

    Attributes:
        users: how many exporters read it.
        further: a counter that counts the same calls, or None.

    """

    def __init__(self) -> None:
        self.users = 0
        self.further: CountsToo | None = None
        self._counts: dict[Operation, _Counts] = {}
        self._ended: Counter[str] = Counter()
        _RECORDERS.add(self)

    def count(self, call: Call, reply: Reply | int | None, begun_at: float) -> None:
        """Count a call that is over, see `CallCounter`."""
        seconds = perf_counter() - begun_at
        counts = self._counts.get(call[0]) or self._new_counts(call[0])
        counts.buckets[bisect_left(BOUNDS, seconds)] += 1
        counts.seconds += seconds
        status: Any = reply if reply.__class__ is not list else reply[0]
        try:
            counts.statuses[status] += 1
        except (TypeError, IndexError):
            status = "error" if reply is not None else outcome_of_error(call, sys.exc_info()[1])
            counts.errors[status] += 1
        if counts.ends or self.further is not None:
            self._count_more(call, reply, OUTCOMES.get(status, status), seconds)

    def figures(self) -> Iterator[Figure]:
        """Return the counts. Each outcome that an operation may have is there, once the operation is."""
        unknown = 0
        for operation, counts in list(self._counts.items()):
            found = counts.outcomes()
            unknown += found[OUTCOME_UNKNOWN]
            for outcome, number in found.items():
                yield Figure(CALLS, number, (operation.name, outcome))
        yield Figure(UNKNOWN, unknown)
        for reason in REASONS:
            yield Figure(ENDED, self._ended[reason], (reason,))

    def durations(self) -> list[Durations]:
        """Return the durations of the calls of each operation."""
        return [Durations(one.name, list(counts.buckets), counts.seconds) for one, counts in list(self._counts.items())]

    def clear(self) -> None:
        """Forget all counts."""
        self._counts.clear()
        self._ended.clear()

    def _new_counts(self, operation: Operation) -> _Counts:
        return self._counts.setdefault(operation, _Counts(operation))

    def _count_more(self, call: Call, reply: Reply | int | None, outcome: str, seconds: float) -> None:
        reason, number = ended_by(call, reply if isinstance(reply, list) else [reply])
        if number:
            self._ended[reason] += number
        if self.further is not None:
            self.further.count(call.operation, outcome, seconds)
            if number:
                self.further.count_ended(reason, number)


def recorder_of(hook: CallHook) -> Recorder:
    """Return the recorder of a backend, which all exporters share. Begin to count if nobody does."""
    recorder = hook.counter
    if not isinstance(recorder, Recorder):
        hook.set_counter(recorder := Recorder())
    recorder.users += 1
    return recorder


def release(hook: CallHook) -> None:
    """Undo one `recorder_of`. Without exporters, calls are no longer counted."""
    recorder = hook.counter
    if isinstance(recorder, Recorder):
        recorder.users -= 1
        if recorder.users == 0:
            hook.set_counter(None)


_RECORDERS: Registry[Recorder] = Registry()


def _after_fork() -> None:
    for recorder in _RECORDERS.all():
        recorder.clear()  # The parent exports what it has counted.


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
