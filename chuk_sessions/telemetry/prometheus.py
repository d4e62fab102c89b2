"""The collector for Prometheus: reads the counts when it is scraped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..core.call_hook import CallHook
from .children import Children
from .families import BOUNDS, DURATION, FAMILIES, PREFIX, Family
from .recorder import Durations, recorder_of
from .totals import Totals

_FAMILIES: dict[str, Callable[..., Any]] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class SessionCollector(Collector):
    """A collector of the metrics of some stores, to be registered with a CollectorRegistry."""

    def __init__(self, hooks: list[CallHook]) -> None:
        self._hooks = hooks
        self._totals = Totals()
        for hook in hooks:
            recorder_of(hook)

    def describe(self) -> Iterator[Metric]:
        """Return all families without samples, so that a registry refuses a second collector."""
        for family in FAMILIES.values():
            yield _histogram([]) if family.kind == "histogram" else _empty(family)

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        found, times = self._totals.read(lambda: self._hooks)
        for family in FAMILIES.values():
            if family.kind == "histogram":
                yield _histogram(times)
            elif family.name in found:
                metric = _empty(family)
                for labels, value in found[family.name].items():
                    metric.add_metric(labels, value)
                yield metric


class NoCollector(Collector):
    """A collector without metrics. In the multiprocess mode, other code collects those of all processes."""

    def describe(self) -> list[Metric]:
        """Return nothing."""
        return []

    def collect(self) -> list[Metric]:
        """Return nothing."""
        return []


def new_collector(hooks: list[CallHook]) -> Collector:
    """Return the collector of stores, and count the calls to them from now on."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return SessionCollector(hooks)
    for hook in hooks:
        recorder_of(hook, Children)
    return NoCollector()


def _empty(family: Family) -> Any:
    return _FAMILIES[family.kind](PREFIX + family.name, family.help, labels=family.labels)


def _histogram(found: list[Durations]) -> HistogramMetricFamily:
    family = FAMILIES[DURATION]
    metric = HistogramMetricFamily(PREFIX + family.name, family.help, labels=family.labels)
    for one in found:
        bounds = [*[str(bound) for bound in BOUNDS], "+Inf"]
        buckets = list(zip(bounds, accumulate(one.buckets), strict=True))
        metric.add_metric((one.operation,), buckets, one.seconds)
    return metric
