"""What was measured, and ratios of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.harness.process import Sample

Metric = Callable[[Sample], float]

METRICS: dict[str, Metric] = {
    "calls/s": lambda sample: sample.rate,
    "CPU/call": lambda sample: sample.cpu_per_call,
    "p50": lambda sample: sample.p50,
    "p99": lambda sample: sample.p99,
    "p99.9": lambda sample: sample.p999,
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and the least and the most of them."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Ratio:
        """From the rounds."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{short(self.middle)} ({short(self.least)} to {short(self.most)})"


@dataclass(slots=True)
class Row:
    """One piece of work, done by several in turn.

    Attributes:
        section: of the report.
        work: the operation.
        case: callers and event loop, or what else was the same for all.
        samples: by who did it, or on what; one for each round.

    """

    section: str
    work: str
    case: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def value(self, name: str, metric: str) -> float:
        """The median of the rounds."""
        return median(METRICS[metric](sample) for sample in self.samples[name])

    def ratio(self, name: str, other: str, metric: str = "calls/s") -> Ratio:
        """`name`'s value by `other`'s, round by round."""
        get = METRICS[metric]
        pairs = zip(self.samples[name], self.samples[other], strict=True)
        return Ratio.of([get(one) / max(get(two), 1e-12) for one, two in pairs])


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the server's for one session."""

    case: str
    ours: float
    published: float


@dataclass(slots=True)
class Results:
    """Everything that one run has measured.

    Attributes:
        facts: machine, versions and date, by name.

    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    def row(self, section: str, work: str, case: str) -> Row | None:
        """That row, if it was measured."""
        wanted = (section, work, case)
        return next((row for row in self.rows if (row.section, row.work, row.case) == wanted), None)

    def of(self, section: str) -> list[Row]:
        """The rows of a section."""
        return [row for row in self.rows if row.section == section]


def short(number: float) -> str:
    """Three digits or so."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
