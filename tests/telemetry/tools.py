"""Helpers for the tests of telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry

from chuk_sessions.telemetry import instrument, prometheus_collector, uninstrument


class Metrics:
    """The metrics of some stores, as Prometheus sees them."""

    def __init__(self, *sources: Any) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(prometheus_collector(*sources))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"chuk_sessions_{name}", labels)

    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        found = [sample for metric in self.registry.collect() for sample in metric.samples]
        return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in found}


class Exported:
    """What OpenTelemetry exports."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("test")
        self.before: dict[str, dict[tuple[Any, ...], float]] = {}

    def remember(self, name: str) -> None:
        """Let `points` leave out what was counted before, for example for the backends of other tests."""
        self.before[name] = self._points(name)

    def spans(self) -> list[Any]:
        """Return the spans of calls, and forget them."""
        found = [span for span in self.exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
        self.exporter.clear()
        return found

    def points(self, name: str) -> dict[tuple[Any, ...], float]:
        """Return the values of a metric or their increase, by the values of its attributes."""
        before = self.before.get(name, {})
        return {
            key: value - before.get(key, 0) for key, value in self._points(name).items() if value != before.get(key)
        }

    def _points(self, name: str) -> dict[tuple[Any, ...], float]:
        data: Any = self.reader.get_metrics_data()
        return {
            tuple(point.attributes.values()): point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"chuk_sessions.{name}"
            for point in metric.data.data_points
        }


@contextmanager
def instrumented() -> Iterator[Exported]:
    exported = Exported()
    instrument(exported.tracers, exported.meters)
    for name in ("calls", "call_duration.bucket", "call_duration.sum"):
        exported.remember(name)
    try:
        yield exported
    finally:
        uninstrument()
        exported.meters.shutdown()
        exported.tracers.shutdown()
