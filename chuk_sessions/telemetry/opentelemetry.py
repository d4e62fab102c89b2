"""OpenTelemetry: spans, and instruments whose values are read when they are exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter_provider
from opentelemetry.trace import Tracer, TracerProvider, get_tracer_provider

from ..core.call_hook import CallHook, stop_welcoming, welcome_all
from .families import BOUNDS, DURATION, FAMILIES, Family
from .recorder import Durations, recorder_of, release
from .snapshot import Snapshot
from .spans import Spans
from .totals import Totals

_NAME = "chuk_sessions"
Callback = Callable[[CallbackOptions], Iterable[Observation]]


class Instrumentation:
    """The instrumentation of all stores of this process, those to come included."""

    def __init__(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        tracers = tracer_provider or get_tracer_provider()
        self._meters = meter_provider or get_meter_provider()
        self._tracer: Tracer = tracers.get_tracer(_NAME)
        self._hooks: dict[CallHook, None] = {}
        self._totals = Totals()
        welcome_all(self._welcome)
        _activate(self._meters, self)

    def read(self) -> tuple[Snapshot, list[Durations]]:
        """Return the figures of all stores, and the durations of the calls to them."""
        gone = [hook for hook in list(self._hooks) if hook.backend is None]
        found = self._totals.read(lambda: list(self._hooks))
        if not gone:
            return found
        for hook in gone:
            self._hooks.pop(hook, None)
        return self._totals.read(lambda: list(self._hooks))  # It notes what was only in those that are gone.

    def end(self) -> None:
        """Remove the instrumentation."""
        stop_welcoming(self._welcome)
        _activate(self._meters, None)
        for hook in self._hooks:
            hook.set_tracer(None)
            release(hook)
        self._hooks = {}

    def _welcome(self, hook: CallHook) -> None:
        if hook in self._hooks:
            return
        if any(one.backend is None for one in list(self._hooks)):
            self.read()
        recorder_of(hook)
        self._hooks[hook] = None
        hook.set_tracer(Spans(hook, self._tracer))


_active: WeakKeyDictionary[MeterProvider, list[Instrumentation | None]] = WeakKeyDictionary()
"""What the instruments of each provider export. Instruments cannot be removed, so they are created once."""


def _activate(provider: MeterProvider, instrumentation: Instrumentation | None) -> None:
    cell = _active.get(provider)
    if cell is None:
        cell = _active[provider] = [None]
        _create(provider.get_meter(_NAME), cell)
    cell[0] = instrumentation


def _create(meter: Meter, cell: Sequence[Instrumentation | None]) -> None:
    """Create the instruments. OpenTelemetry has no observable histogram, so buckets are counters with a bound."""
    for family in FAMILIES.values():
        if family.kind != "histogram":
            create = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
            create(family.opentelemetry_name, [_values(family, cell)], family.unit, family.help)
    name, text = FAMILIES[DURATION].opentelemetry_name, FAMILIES[DURATION].help
    meter.create_observable_counter(f"{name}.bucket", [_buckets(cell)], "{call}", f"{text} Calls of at most `le` s.")
    meter.create_observable_counter(f"{name}.sum", [_sums(cell)], "s", f"{text} Their sum.")


def _values(family: Family, cell: Sequence[Instrumentation | None]) -> Callback:
    def observe(_: CallbackOptions) -> list[Observation]:
        current = cell[0]
        values = current.read()[0].get(family.name, {}) if current else {}
        return [_observation(value, family.labels, labels) for labels, value in values.items()]

    return observe


def _buckets(cell: Sequence[Instrumentation | None]) -> Callback:
    bounds = [*map(str, BOUNDS), "+Inf"]

    def observe(_: CallbackOptions) -> list[Observation]:
        return [
            _observation(number, ("operation", "le"), (one.operation, bound))
            for one in (cell[0].read()[1] if cell[0] else ())
            for bound, number in zip(bounds, accumulate(one.buckets), strict=True)
        ]

    return observe


def _sums(cell: Sequence[Instrumentation | None]) -> Callback:
    def observe(_: CallbackOptions) -> list[Observation]:
        found = cell[0].read()[1] if cell[0] else ()
        return [_observation(one.seconds, ("operation",), (one.operation,)) for one in found]

    return observe


def _observation(value: float, names: Sequence[str], labels: Sequence[str]) -> Observation:
    attributes: dict[str, Any] = dict(zip(names, labels, strict=True))
    if "operation" in attributes:
        attributes = {_OPERATION: attributes.pop("operation"), **attributes}
    return Observation(value, attributes)


_OPERATION = "db.stored_procedure.name"
