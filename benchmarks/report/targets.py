"""What the library wants to reach, each as a ratio in one run, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.harness.environments import PUBLISHED
from benchmarks.harness.process import OURS
from benchmarks.harness.rounds import case

from .results import Ratio, Results, Row

REDIS_PY, GLIDE, THEIRS = "redis-py", "valkey-glide", f"chuk-sessions-{PUBLISHED}"
LIMITS = ("redis-benchmark", "valkey-benchmark", "raw")


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table.

    Attributes:
        work: what was done.
        against: whom, and in what.
        required: the ratio.
        at_least: whether more is better.
        measured: the ratio of this run; None where it was not measured.

    """

    work: str
    against: str
    required: float
    at_least: bool
    measured: Ratio | None

    @property
    def met(self) -> bool | None:
        """Whether the median reaches it."""
        if self.measured is None:
            return None
        return (self.measured.middle >= self.required) == self.at_least or self.measured.middle == self.required


def targets(results: Results) -> Iterator[Target]:
    """All of them, in the order of the report."""
    yield from _validate(results)
    yield from _one_caller(results)
    yield from _emulator(results)
    yield from _growth(results)
    for memory in results.memory:
        measured = Ratio.of([memory.ours / memory.published])
        yield Target(f"server memory, {memory.case}", f"published {PUBLISHED}", 1.2, False, measured)
    tls = results.row("tls", "validate", case(100))
    yield Target("validate over TLS, 100 callers", f"{REDIS_PY} over TLS", 5, True, _ratio(tls, REDIS_PY))


def _validate(results: Results) -> Iterator[Target]:
    hundred, thousand = (results.row("callers", "validate", case(callers)) for callers in (100, 1000))
    published = results.row("redis", "validate", case(100))
    title = "validate, 100 callers"
    yield Target(title, REDIS_PY, 8, True, _ratio(hundred, REDIS_PY))
    yield Target(title, GLIDE, 3, True, _ratio(hundred, GLIDE))
    yield Target(title, f"published {PUBLISHED}", 100, True, _ratio(published, THEIRS))
    yield Target(title, "the server's limit", 0.5, True, _of_limit(hundred))
    yield Target("validate, 1000 callers", "the server's limit", 0.7, True, _of_limit(thousand))
    yield Target(title, f"client CPU per call of {REDIS_PY}", 0.1, False, _ratio(hundred, REDIS_PY, "CPU/call"))
    for work in ("read", "merge"):
        row = results.row("redis", work, case(100))
        yield Target(f"{work}, 100 callers", REDIS_PY, 6, True, _ratio(row, REDIS_PY))
    yield Target(title, f"p99 of {REDIS_PY}", 1, False, _ratio(hundred, REDIS_PY, "p99"))


def _one_caller(results: Results) -> Iterator[Target]:
    for section, loop in (("callers", "uvloop"), ("asyncio", "asyncio")):
        row = results.row(section, "validate", case(1, loop))
        yield Target(f"validate, 1 caller, {loop}", f"p50 of {REDIS_PY}", 1, False, _ratio(row, REDIS_PY, "p50"))


def _emulator(results: Results) -> Iterator[Target]:
    for work in ("get", "setex"):
        row = results.row("emulator", work, case(0))
        yield Target(f"emulator: {work}", f"published {PUBLISHED}", 1.5, True, _ratio(row, THEIRS))
    for work in ("allocate", "validate", "merge", "extend"):
        row = results.row("emulator", work, case(0))
        yield Target(f"emulator: {work}", f"published {PUBLISHED}", 5, True, _ratio(row, THEIRS))


def _growth(results: Results) -> Iterator[Target]:
    for row in results.of("growth"):
        least, *_, most = row.samples
        measured = _inverse(row.ratio(most, least))
        yield Target(f"time per {row.work} among {most} sessions", f"among {least}", 1.3, False, measured)


def _ratio(row: Row | None, other: str, metric: str = "calls/s") -> Ratio | None:
    if row is None or other not in row.samples:
        return None
    return row.ratio(OURS, other, metric)


def _of_limit(row: Row | None) -> Ratio | None:
    """Of the best that any client with deep pipelines has reached."""
    if row is None:
        return None
    found = [row.ratio(OURS, name) for name in LIMITS if name in row.samples]
    return min(found, key=lambda ratio: ratio.middle, default=None)


def _inverse(ratio: Ratio) -> Ratio:
    return Ratio(1 / ratio.middle, 1 / ratio.most, 1 / ratio.least)
