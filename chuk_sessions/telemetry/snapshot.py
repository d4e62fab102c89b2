"""A snapshot: the current figures of some backends, added up by family and labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..core.call_hook import CallHook
from ..core.figures import REPORTERS, Figure
from .families import BOUNDS, FAMILIES
from .recorder import Durations, Recorder

Snapshot = dict[str, dict[tuple[str, ...], float]]
"""Values by the labels, by the name of the family. Only families with a value are there."""

_ATTEMPTS = 4


def snapshot(hooks: Collection[CallHook]) -> Snapshot:
    """Return the current figures of backends, and of the parts of the process that belong to no backend."""
    return combined(_figures(hooks))


def combined(figures: Iterable[Figure]) -> Snapshot:
    """Return figures with the same labels as one: their sum or their max, as the family says."""
    found: Snapshot = {}
    for figure in figures:
        values = found.setdefault(figure.family, {})
        before = values.get(figure.labels)
        if before is None:
            values[figure.labels] = figure.value
        elif FAMILIES[figure.family].combine == "max":
            values[figure.labels] = max(before, figure.value)
        else:
            values[figure.labels] = before + figure.value
    return found


def durations(hooks: Collection[CallHook]) -> list[Durations]:
    """Return the durations of the calls to backends, by operation."""
    found: dict[str, Durations] = {}
    for recorder in _recorders(hooks):
        for one in recorder.durations():
            before = found.get(one.operation, Durations(one.operation, [0] * (len(BOUNDS) + 1), 0.0))
            buckets = [first + second for first, second in zip(before.buckets, one.buckets, strict=True)]
            found[one.operation] = Durations(one.operation, buckets, before.seconds + one.seconds)
    return [found[name] for name in sorted(found)]


def figures_of_connections(backend: Any) -> list[Figure]:
    """Return the figures of a backend's connections; none for one without connections."""
    if not hasattr(backend, "stats"):
        return []
    stats = _read(backend.stats)
    if stats is None:
        return []
    return [
        Figure("calls_in_flight", stats.in_flight),
        Figure("calls_waiting", stats.waiting),
        Figure("connections", stats.connections),
        Figure("reconnects", stats.reconnects),
        Figure("retries", stats.retries),
    ]


def figures_of_parts(hooks: Collection[CallHook]) -> Iterator[Figure]:
    """Return the figures of reporters and connections."""
    backends = [backend for hook in hooks if (backend := hook.backend) is not None]
    for backend in backends:
        yield from figures_of_connections(backend)
    for reporter in REPORTERS.all():
        if reporter.backend is None or any(reporter.backend is backend for backend in backends):
            yield from _read(reporter.figures) or ()


def _figures(hooks: Collection[CallHook]) -> Iterator[Figure]:
    for recorder in _recorders(hooks):
        yield from recorder.figures()
    yield from figures_of_parts(hooks)


def _recorders(hooks: Collection[CallHook]) -> list[Recorder]:
    return [hook.counter for hook in hooks if isinstance(hook.counter, Recorder)]


def _read(read: Any) -> Any:
    """Return what a function returns that reads what other threads change meanwhile; None if that fails.

    Then the metrics of one part are missing from one scrape, and not those of the whole process.
    """
    for _ in range(_ATTEMPTS):
        try:
            return read()
        except RuntimeError:  # A dict has changed its size.
            continue
    return None
