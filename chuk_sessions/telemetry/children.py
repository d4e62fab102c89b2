"""Prometheus's multiprocess mode: metrics of its own, which it keeps in files that all processes share.

Custom collectors do not work there, because a scrape reaches only one of the processes. Calls are therefore counted in
children of real metrics. Everything else is copied to such children with a call, at most once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram

from ..core.call_hook import CallHook
from ..core.operation import Operation
from .families import BOUNDS, CALLS, DURATION, ENDED, FAMILIES, PREFIX, UNKNOWN, Family
from .outcomes import OUTCOME_UNKNOWN, outcomes_of
from .snapshot import Snapshot, combined, figures_of_parts

_REFRESH_SECONDS: Final = 1.0


class Children:
    """A counter of the calls to one backend, in real metrics."""

    def __init__(self, hook: CallHook) -> None:
        self._hook = hook
        self._calls: dict[tuple[Operation, str], Callable[[], None]] = {}
        self._durations: dict[Operation, Callable[[float], None]] = {}
        self._refresh_at = 0.0
        self._before: Snapshot = {}

    def count(self, operation: Operation, outcome: str, seconds: float) -> None:
        """Count a call."""
        if operation not in self._durations:
            self._add(operation)
        self._durations[operation](seconds)
        (self._calls.get((operation, outcome)) or self._calls[operation, "error"])()
        if outcome == OUTCOME_UNKNOWN:
            metric(UNKNOWN).inc()
        now = monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + _REFRESH_SECONDS
            self._refresh()
            # Without a later call, the gauges would show this busy moment for ever.
            asyncio.get_running_loop().call_later(_REFRESH_SECONDS, self._refresh)

    def count_ended(self, reason: str, number: int) -> None:
        """Count sessions that a call has ended."""
        metric(ENDED).labels(reason).inc(number)

    def _add(self, operation: Operation) -> None:
        for outcome in outcomes_of(operation):
            self._calls[operation, outcome] = metric(CALLS).labels(operation.name, outcome).inc
        self._durations[operation] = metric(DURATION).labels(operation.name).observe

    def _refresh(self) -> None:
        """Copy the figures that are not counted with calls."""
        found = combined(figures_of_parts([self._hook]))
        for name, values in found.items():
            before = self._before.get(name, {})
            for labels, value in values.items():
                child = metric(name).labels(*labels) if labels else metric(name)
                if FAMILIES[name].kind == "gauge":
                    child.set(value)
                else:
                    child.inc(max(0.0, value - before.get(labels, 0.0)))
        self._before = found


@cache
def metric(name: str) -> Any:
    """Return the metric of a family. It belongs to no registry, because its values are read from files."""
    family = FAMILIES[name]
    return _KINDS[family.kind](family)


_KINDS: Final[dict[str, Callable[[Family], Any]]] = {
    "counter": lambda family: Counter(PREFIX + family.name, family.help, family.labels, registry=None),
    "gauge": lambda family: Gauge(
        PREFIX + family.name, family.help, family.labels, registry=None, multiprocess_mode=_MODES[family.combine]
    ),
    "histogram": lambda family: Histogram(
        PREFIX + family.name, family.help, family.labels, registry=None, buckets=BOUNDS
    ),
}
_MODES: Final[dict[str, Any]] = {"sum": "livesum", "max": "livemax"}
