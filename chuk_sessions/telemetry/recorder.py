"""The recorder: counts calls in whole numbers and lists, which takes a fraction of a microsecond for each."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from ..core.call_hook import CallHook, Count
from ..core.figures import Figure
from ..core.operation import Call, Operation, Reply
from ..core.registry import Registry
from .families import BOUNDS, CALLS, ENDED, UNKNOWN
from .outcomes import ENDING, ERRORS, OUTCOME_UNKNOWN, OUTCOMES, REASONS, ended_by, outcome_of_error, outcomes_of

_STATUSES: Final = max(OUTCOMES) + 1
_BUCKETS: Final = len(BOUNDS) + 1


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


class _Counts(NamedTuple):
    """The counts of one operation.

    Attributes:
        rows: how many calls had each status and duration: a row for each status, with a number for each bucket.
        seconds: the total time of the calls, as the only element of a list.
        errors: the number of calls that raised an exception, by outcome.
        error_buckets: the durations of those.

    """

    rows: list[list[int]]
    seconds: list[float]
    errors: dict[str, int]
    error_buckets: list[int]

    def outcomes(self, operation: Operation) -> dict[str, int]:
        """Return the number of calls by outcome, those that did not occur included."""
        found = {OUTCOMES[status]: sum(row) for status, row in enumerate(self.rows) if any(row)}
        return {**dict.fromkeys(outcomes_of(operation), 0), **found, **self.errors}

    def buckets(self) -> list[int]:
        """Return the number of calls in each bucket."""
        return [sum(column) for column in zip(*self.rows, self.error_buckets, strict=True)]


class Recorder:
    """The counter of the calls to one backend.

    Threads share it. An increment is not interrupted by other threads, so none is lost.

    Attributes:
        users: how many exporters read it.
        further: a counter that counts the same calls, or None.
        count: counts a call, see `CallCounter`.

    """

    def __init__(self) -> None:
        self.users = 0
        self.further: CountsToo | None = None
        self._counts: dict[Operation, _Counts] = {}
        self._hot: dict[Operation, tuple[list[list[int]], list[float], bool]] = {}
        self._ended: Counter[str] = Counter()
        self.count = self._new_count()
        _RECORDERS.add(self)

    def _new_count(self) -> Count:
        """Return the function that counts a call. Its variables are local, because it runs in each call."""
        hot, clock, bisect, bounds = self._hot, perf_counter, bisect_left, BOUNDS
        failed, count_more, add = self._failed, self._count_more, self._add

        def count(call: Call, reply: Any, begun_at: float) -> None:
            seconds = clock() - begun_at
            if reply is None:
                return failed(call, sys.exc_info()[1], seconds)
            try:
                rows, total, needs_more = hot[call[0]]
                if reply.__class__ is int:
                    rows[reply][bisect(bounds, seconds)] += 1
                else:
                    rows[reply[0]][bisect(bounds, seconds)] += 1
            except KeyError:
                add(call[0])
                return count(call, reply, begun_at)
            except (IndexError, TypeError):  # No script replies so.
                return failed(call, None, seconds)
            total[0] += seconds
            if needs_more:
                count_more(call, reply, seconds)
            return None

        return count

    def figures(self) -> Iterator[Figure]:
        """Return the counts. Each outcome that an operation may have is there, once the operation is."""
        unknown = 0
        for operation, counts in list(self._counts.items()):
            found = counts.outcomes(operation)
            unknown += found[OUTCOME_UNKNOWN]
            for outcome, number in found.items():
                yield Figure(CALLS, number, (operation.name, outcome))
        yield Figure(UNKNOWN, unknown)
        for reason in REASONS:
            yield Figure(ENDED, self._ended[reason], (reason,))

    def durations(self) -> list[Durations]:
        """Return the durations of the calls of each operation."""
        return [Durations(one.name, counts.buckets(), counts.seconds[0]) for one, counts in list(self._counts.items())]

    def set_further(self, further: CountsToo) -> None:
        """Let a further counter count the calls that end from now on."""
        self.further = further
        self._hot.clear()  # It says which operations need no more than to be counted here.

    def clear(self) -> None:
        """Forget all counts."""
        self._hot.clear()
        self._counts.clear()
        self._ended.clear()

    def _add(self, operation: Operation) -> None:
        """Make room for the counts of an operation."""
        rows = [[0] * _BUCKETS for _ in range(_STATUSES)]
        new = _Counts(rows, [0.0], dict.fromkeys(ERRORS, 0), [0] * _BUCKETS)
        counts = self._counts.setdefault(operation, new)
        self._hot[operation] = counts.rows, counts.seconds, operation in ENDING or self.further is not None

    def _failed(self, call: Call, error: BaseException | None, seconds: float) -> None:
        if call.operation not in self._counts:
            self._add(call.operation)
        counts, outcome = self._counts[call.operation], outcome_of_error(call, error)
        counts.errors[outcome] += 1
        counts.error_buckets[bisect_left(BOUNDS, seconds)] += 1
        counts.seconds[0] += seconds
        if self.further is not None:
            self.further.count(call.operation, outcome, seconds)

    def _count_more(self, call: Call, reply: Reply | int, seconds: float) -> None:
        reply = [reply] if isinstance(reply, int) else reply
        reason, number = ended_by(call, reply)
        if number:
            self._ended[reason] += number
        if self.further is not None:
            self.further.count(call.operation, OUTCOMES[reply[0]], seconds)
            if number:
                self.further.count_ended(reason, number)


def recorder_of(hook: CallHook, new_further: Callable[[CallHook], CountsToo] | None = None) -> Recorder:
    """Return the recorder of a backend, which all exporters share. Begin to count if nobody does.

    `new_further` creates a counter that must count the same calls.
    """
    recorder = hook.counter
    if not isinstance(recorder, Recorder):
        hook.set_counter(recorder := Recorder())
    if new_further is not None and recorder.further is None:
        recorder.set_further(new_further(hook))
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
