"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.harness.process import OURS

from .results import Results, Row, format_number
from .targets import targets

TITLES = {
    "redis": "100 callers on one server, uvloop",
    "callers": "Few and many callers",
    "asyncio": "On asyncio's own loop",
    "tls": "Over TLS",
    "sync": "Synchronous code: callers are threads",
    "cache": "The local cache",
    "emulator": "The emulator, one caller",
    "grid": "Grid paths",
    "cores": "Cluster nodes × client processes, 100 callers each",
    "event_loop": "One event loop",
    "growth": "Live sessions",
    "server_cpu": "CPU of the server",
    "client_profile": "CPU of the client, step by step",
    "metadata": "Metadata per session",
    "lists": "Counts and lists",
    "cluster": "A cluster of three nodes",
    "web": "Web frameworks, one worker process",
    "federation": "Grants within one store",
}
FACTS_OF_A_RUN = ("date", "server", "rounds", "load before")
_CPU_OF = {"server_cpu": "server", "web": "application"}
"""The process whose CPU a section shows, if it is not the client."""
_MICRO = 1e6
_SHORTEST = 1e-9
"""Seconds. Shorter times mean that a peer does not measure them."""


def markdown(measured: Mapping[str, Results], plots: Mapping[str, str]) -> str:
    """Return the whole report, from suites by name and the titles of plots by file."""
    results = Results.merged(measured.values())
    parts = ["# Benchmarks", *_runs(measured), *_facts(results), "## Targets", *_targets(results)]
    parts += [f"![{title}]({file})" for file, title in plots.items()]
    for section, title in TITLES.items():
        if rows := results.in_section(section):
            parts += [f"## {title}", *_table(rows)]
    if results.memory:
        parts += ["## Server memory per session, all indexes", *_memory(results)]
    return "\n\n".join(parts) + "\n"


def _runs(measured: Mapping[str, Results]) -> Iterator[str]:
    lines = [f"| suite | {' | '.join(FACTS_OF_A_RUN)} |", f"|---|{'---|' * len(FACTS_OF_A_RUN)}"]
    for name, results in measured.items():
        lines.append(f"| {name} | {' | '.join(results.facts[fact] for fact in FACTS_OF_A_RUN)} |")
    yield "\n".join(lines)


def _facts(results: Results) -> Iterator[str]:
    facts = {name: value for name, value in results.facts.items() if name not in FACTS_OF_A_RUN}
    yield "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])
    yield (
        "Figures are medians of rounds, in each of which every peer measures once. Ratios are computed within a round, "
        "with the minimum and the maximum in parentheses. `raw` and `redis-benchmark` send the same scripts over 10 "
        "connections with 64 calls in flight on each, regardless of the number of callers. They show what the server "
        "itself can do."
    )


def _targets(results: Results) -> Iterator[str]:
    lines = ["| operation | compared with | required | measured | |", "|---|---|---|---|---|"]
    for target in targets(results):
        sign = "≥" if target.at_least else "≤"
        verdict = {True: "met", False: "**missed**", None: "not measured"}[target.met]
        measured = "" if target.measured is None else str(target.measured)
        cells = (target.operation, target.compared_with, f"{sign} {target.required:g}", measured, verdict)
        lines.append(f"| {' | '.join(cells)} |")
    yield "\n".join(lines)


def _table(rows: list[Row]) -> Iterator[str]:
    process = _CPU_OF.get(rows[0].section, "client")
    lines = [
        f"| operation | peer | calls/s | p50 µs | p99 µs | p99.9 µs | {process} CPU µs/call | ratio of calls/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = next(iter(row.samples), OURS)
        for name in row.samples:
            lines.append(_line(row, name, first))
    yield "\n".join(lines)


def _line(row: Row, name: str, first: str) -> str:
    cells = [format_number(row.value(name, "calls/s"))]
    for metric in ("p50", "p99", "p99.9", "CPU/call"):
        value = row.value(name, metric)
        cells.append(format_number(value * _MICRO) if value > _SHORTEST else "–")
    ratio = "1" if name == first else str(row.ratio(name, first))
    return f"| {row.operation}, {row.case} | {name} | {' | '.join(cells)} | {ratio} |"


def _memory(results: Results) -> Iterator[str]:
    lines = ["| metadata | here | published | ratio |", "|---|---|---|---|"]
    for figures in results.memory:
        ratio = format_number(figures.ours / figures.published)
        lines.append(f"| {figures.case} | {figures.ours:.0f} B | {figures.published:.0f} B | {ratio} |")
    yield "\n".join(lines)
