"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness.process import OURS

from .results import Results, Row, short
from .targets import targets

TITLES = {
    "redis": "100 callers on one server, uvloop",
    "callers": "Few and many callers",
    "asyncio": "On asyncio's own loop",
    "tls": "Over TLS",
    "emulator": "The emulator, one caller",
    "grid": "Grid paths",
    "processes": "Client processes, 100 callers each",
    "growth": "Live sessions",
    "spent": "What the server spends",
    "pieces": "What the client spends, piece by piece",
    "metadata": "Metadata per session",
    "whole": "What asks all buckets",
    "cluster": "A cluster of three",
}
_WHOSE = {"spent": "server"}
_MICRO = 1e6
_LEAST = 1e-9


def markdown(results: Results, plots: list[str]) -> str:
    """The whole report."""
    parts = ["# Benchmarks", *_facts(results), "## Targets", *_targets(results)]
    parts += [f"![{name}]({name})" for name in plots]
    for section, title in TITLES.items():
        if rows := results.of(section):
            parts += [f"## {title}", *_table(rows)]
    if results.memory:
        parts += ["## Server memory per session, all indexes", *_memory(results)]
    return "\n\n".join(parts) + "\n"


def _facts(results: Results) -> Iterator[str]:
    yield "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in results.facts.items())])
    yield (
        "Figures are medians of rounds in which everybody has a turn; ratios are taken round by round, with the least "
        "and the most in brackets. `raw` and `redis-benchmark` send the same scripts with 10 connections and 64 calls "
        "under way on each, whatever the number of callers: what the server itself can do."
    )


def _targets(results: Results) -> Iterator[str]:
    lines = ["| work | against | required | measured | |", "|---|---|---|---|---|"]
    for target in targets(results):
        sign = "≥" if target.at_least else "≤"
        word = {True: "met", False: "**missed**", None: "not measured"}[target.met]
        measured = "" if target.measured is None else str(target.measured)
        lines.append(f"| {target.work} | {target.against} | {sign} {target.required:g} | {measured} | {word} |")
    yield "\n".join(lines)


def _table(rows: list[Row]) -> Iterator[str]:
    lines = [
        f"| work | who | calls/s | p50 µs | p99 µs | p99.9 µs | {_WHOSE.get(rows[0].section, 'client')} CPU µs/call "
        "| calls/s to the first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = next(iter(row.samples), OURS)
        for name in row.samples:
            lines.append(_line(row, name, first))
    yield "\n".join(lines)


def _line(row: Row, name: str, first: str) -> str:
    cells = [short(row.value(name, "calls/s"))]
    for metric in ("p50", "p99", "p99.9", "CPU/call"):
        value = row.value(name, metric)
        cells.append(short(value * _MICRO) if value > _LEAST else "–")
    ratio = "1" if name == first else str(row.ratio(name, first))
    return f"| {row.work}, {row.case} | {name} | {' | '.join(cells)} | {ratio} |"


def _memory(results: Results) -> Iterator[str]:
    lines = ["| stored | here | published | ratio |", "|---|---|---|---|"]
    for one in results.memory:
        ratio = short(one.ours / one.published)
        lines.append(f"| {one.case} | {one.ours:.0f} B | {one.published:.0f} B | {ratio} |")
    yield "\n".join(lines)
