"""The library's performance targets: the required ratios, and the ratios of this run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.harness.environments import PUBLISHED
from benchmarks.harness.process import OURS
from benchmarks.harness.rounds import case

from .results import Ratio, Results, Row

REDIS_PY, GLIDE, PUBLISHED_PEER = "redis-py", "valkey-glide", f"chuk-sessions-{PUBLISHED}"
LIMITS = ("redis-benchmark", "valkey-benchmark", "raw")
"""Peers that keep the server busy, and so show its limit."""


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table of targets.

    Attributes:
        operation: the operation and its case.
        compared_with: the peer, and the metric unless it is calls per second.
        required: the required ratio.
        at_least: whether a higher ratio is better.
        measured: the ratio of this run, or None if it was not measured.

    """

    operation: str
    compared_with: str
    required: float
    at_least: bool
    measured: Ratio | None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target, or None if it was not measured."""
        if self.measured is None:
            return None
        return (self.measured.median >= self.required) == self.at_least or self.measured.median == self.required


def targets(results: Results) -> Iterator[Target]:
    """Yield all targets, in the order of the report."""
    yield from _validate(results)
    yield from _one_caller(results)
    yield from _emulator(results)
    yield from _growth(results)
    for memory in results.memory:
        measured = Ratio.of([memory.ours / memory.published])
        yield Target(f"server memory, {memory.case}", f"published {PUBLISHED}", 1, False, measured)
    yield from _synchronous(results)
    tls = results.row("tls", "validate", case(100))
    yield Target("validate over TLS, 100 callers", f"{REDIS_PY} over TLS", 5, True, _ratio(tls, REDIS_PY))


def _validate(results: Results) -> Iterator[Target]:
    hundred, thousand = (results.row("callers", "validate", case(callers)) for callers in (100, 1000))
    published = results.row("redis", "validate", case(100))
    title = "validate, 100 callers"
    yield Target(title, REDIS_PY, 8, True, _ratio(hundred, REDIS_PY))
    yield Target(title, GLIDE, 3, True, _ratio(hundred, GLIDE))
    yield Target(title, f"published {PUBLISHED}", 100, True, _ratio(published, PUBLISHED_PEER))
    yield Target(title, "the server's limit", 0.5, True, _ratio_to_limit(hundred))
    yield Target("validate, 1000 callers", "the server's limit", 0.7, True, _ratio_to_limit(thousand))
    yield Target(title, f"client CPU per call of {REDIS_PY}", 0.1, False, _ratio(hundred, REDIS_PY, "CPU/call"))
    for operation in ("read", "merge"):
        row = results.row("redis", operation, case(100))
        yield Target(f"{operation}, 100 callers", REDIS_PY, 6, True, _ratio(row, REDIS_PY))
    yield Target(title, f"p99 of {REDIS_PY}", 1, False, _ratio(hundred, REDIS_PY, "p99"))


def _one_caller(results: Results) -> Iterator[Target]:
    for section, loop in (("callers", "uvloop"), ("asyncio", "asyncio")):
        row = results.row(section, "validate", case(1, loop))
        yield Target(f"validate, 1 caller, {loop}", f"p50 of {REDIS_PY}", 1, False, _ratio(row, REDIS_PY, "p50"))


def _emulator(results: Results) -> Iterator[Target]:
    for operation in ("get", "setex"):
        row = results.row("emulator", operation, case(0))
        yield Target(f"emulator: {operation}", f"published {PUBLISHED}", 1.5, True, _ratio(row, PUBLISHED_PEER))
    for operation in ("allocate", "validate", "merge", "extend"):
        row = results.row("emulator", operation, case(0))
        yield Target(f"emulator: {operation}", f"published {PUBLISHED}", 5, True, _ratio(row, PUBLISHED_PEER))


def _growth(results: Results) -> Iterator[Target]:
    for row in results.in_section("growth"):
        fewest, *_, most = row.samples
        title = f"time per {row.operation} among {most} sessions"
        yield Target(title, f"among {fewest}", 1.3, False, row.growth())


def _synchronous(results: Results) -> Iterator[Target]:
    one, sixteen = (results.row("sync", "validate", case(callers, "blocking")) for callers in (1, 16))
    yield Target(
        "validate, 1 thread", f"p50 of {REDIS_PY}'s blocking EVALSHA", 1.3, False, _ratio(one, REDIS_PY, "p50")
    )
    yield Target("validate, 16 threads", f"{REDIS_PY}'s blocking EVALSHA", 2, True, _ratio(sixteen, REDIS_PY))


def _ratio(row: Row | None, other: str, metric: str = "calls/s") -> Ratio | None:
    if row is None or other not in row.samples:
        return None
    return row.ratio(OURS, other, metric)


def _ratio_to_limit(row: Row | None) -> Ratio | None:
    """Return the ratio to the fastest of LIMITS."""
    if row is None:
        return None
    ratios = [row.ratio(OURS, name) for name in LIMITS if name in row.samples]
    return min(ratios, key=lambda ratio: ratio.median, default=None)
