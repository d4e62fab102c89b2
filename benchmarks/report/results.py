"""Measurements of a run, and the ratios between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.harness.process import Sample

Metric = Callable[[Sample], float]

METRICS: dict[str, Metric] = {
    "calls/s": lambda sample: sample.rate,
    "CPU/call": lambda sample: sample.cpu_per_call,
    "server CPU/call": lambda sample: sample.server_cpu_per_call,
    "p50": lambda sample: sample.p50,
    "p99": lambda sample: sample.p99,
    "p99.9": lambda sample: sample.p999,
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median, minimum, and maximum of the ratios of all rounds."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: list[float]) -> Ratio:
        """Summarize the ratios of all rounds."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        low, high = format_number(self.minimum), format_number(self.maximum)
        if low == high:
            return format_number(self.median)
        return f"{format_number(self.median)} ({low} to {high})"


@dataclass(slots=True)
class Row:
    """One operation, measured on several peers in interleaved rounds.

    Attributes:
        section: the section of the report.
        operation: the name of the operation, or of the step of a call.
        case: the callers and the event loop, or other conditions that all peers share.
        samples: one sample per round, by the name of the peer or of the condition.

    """

    section: str
    operation: str
    case: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def value(self, name: str, metric: str) -> float:
        """Return the median of the rounds."""
        return median(METRICS[metric](sample) for sample in self.samples[name])

    def ratio(self, name: str, other: str, metric: str = "calls/s") -> Ratio:
        """Return `name`'s value divided by `other`'s, computed within each round."""
        get = METRICS[metric]
        pairs = zip(self.samples[name], self.samples[other], strict=True)
        return Ratio.of([get(numerator) / max(get(denominator), 1e-12) for numerator, denominator in pairs])

    def growth(self, metric: str = "calls/s") -> Ratio:
        """Return the last condition's time or CPU per call, divided by the first one's."""
        first, *_, last = self.samples
        return self.ratio(first, last) if metric == "calls/s" else self.ratio(last, first, metric)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of server memory per session, of this package and of the published one."""

    case: str
    ours: float
    published: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Items that a cart has after concurrent requests have added `added` of them.

    Attributes:
        case: the framework and its server.
        package: the package for sessions.
        added: how many requests ran at the same time.
        best: the items kept if a view uses the package's best means.
        rewritten: the items kept if a view reads the list, changes it, and writes it back.

    """

    case: str
    package: str
    added: int
    best: int
    rewritten: int


@dataclass(slots=True)
class Results:
    """The measurements of a suite, or of all suites.

    Attributes:
        facts: the machine, versions, and the date, by name.

    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def row(self, section: str, operation: str, case: str) -> Row | None:
        """Return that row, or None if it was not measured."""
        wanted = (section, operation, case)
        return next((row for row in self.rows if (row.section, row.operation, row.case) == wanted), None)

    @classmethod
    def merged(cls, measured: Iterable[Results]) -> Results:
        """Return the measurements of several suites together. Facts of the later ones replace earlier ones."""
        everything = cls()
        for results in measured:
            everything.facts |= results.facts
            everything.rows += results.rows
            everything.memory += results.memory
            everything.kept += results.kept
        return everything

    def in_section(self, section: str) -> list[Row]:
        """Return the rows of a section."""
        return [row for row in self.rows if row.section == section]


def format_number(number: float) -> str:
    """Format a number with about three significant digits."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
