"""Totals: counters that never decrease, although managers, connections, and stores come and go."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from threading import Lock
from typing import Any

from ..core.call_hook import CallHook
from ..core.registry import Registry
from .families import BOUNDS, FAMILIES
from .recorder import Durations
from .snapshot import Snapshot, durations, snapshot

_Key = tuple[str, Any]


class Totals:
    """The numbers that one exporter exports. Safe for threads, and empty after a fork.

    The figures of a part that no longer exists are missing from a sum. What they were at the latest reading stays.
    """

    def __init__(self) -> None:
        self.clear()
        _TOTALS.add(self)

    def clear(self) -> None:
        """Forget all numbers. Nobody may be reading."""
        self._lock = Lock()
        self._latest: dict[_Key, float] = {}
        self._gone: dict[_Key, float] = {}

    def read(self, hooks: Callable[[], Collection[CallHook]]) -> tuple[Snapshot, list[Durations]]:
        """Return the figures of backends, and the durations of the calls to them."""
        with self._lock:
            current = hooks()
            found, times = snapshot(current), durations(current)
            series = {**_counters(found), **_numbers(times)}
            for key in [*series, *[key for key in self._latest if key not in series]]:
                self._keep(key, series)
            self._latest = series
            return self._figures(found, series), self._durations(series)

    def _keep(self, key: _Key, series: dict[_Key, float]) -> None:
        """Note by how much a series has decreased."""
        if key not in series:
            if _is_of_store(key):
                self._gone.pop(key, None)  # A reader that was removed. Its name must not stay a label.
                return
            series[key] = 0
        lacking = self._latest.get(key, 0) - series[key]
        if lacking > 0:
            self._gone[key] = self._gone.get(key, 0) + lacking

    def _figures(self, found: Snapshot, series: dict[_Key, float]) -> Snapshot:
        for key, value in series.items():
            name, labels = key
            if name in FAMILIES:
                found.setdefault(name, {})[labels] = value + self._gone.get(key, 0)
        return found

    def _durations(self, series: dict[_Key, float]) -> list[Durations]:
        def total(key: _Key) -> float:
            return series[key] + self._gone.get(key, 0)

        return [
            Durations(
                operation,
                [int(total((_BUCKET, (operation, place)))) for place in range(len(BOUNDS) + 1)],
                total((_SECONDS, operation)),
            )
            for name, operation in sorted((key for key in series if key[0] == _SECONDS), key=lambda key: key[1])
        ]


_BUCKET, _SECONDS = "bucket of durations", "seconds of durations"


def _counters(found: Snapshot) -> dict[_Key, float]:
    return {
        (name, labels): value
        for name, values in found.items()
        if FAMILIES[name].kind == "counter"
        for labels, value in values.items()
    }


def _numbers(times: list[Durations]) -> dict[_Key, float]:
    series: dict[_Key, float] = {(_SECONDS, one.operation): one.seconds for one in times}
    for one in times:
        series |= {(_BUCKET, (one.operation, place)): number for place, number in enumerate(one.buckets)}
    return series


def _is_of_store(key: _Key) -> bool:
    """Return whether a series is about the store, and not about this process."""
    family = FAMILIES.get(key[0])
    return family is not None and family.combine == "max"


_TOTALS: Registry[Totals] = Registry()


def _after_fork() -> None:
    for totals in _TOTALS.all():
        totals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
