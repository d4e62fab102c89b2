"""The charts of the report, as SVG files. The title of each states what it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.process import OURS
from benchmarks.harness.rounds import case

from .charts import LIMIT, Bars, Line, lines, panels
from .results import Results, Row, format_number
from .targets import LIMITS, PUBLISHED_PEER, REDIS_PY

_MILLI = 1e3
_MICRO = 1e6
_OPERATIONS = ("allocate", "validate", "read", "merge")
_PEERS = (OURS, "valkey-glide", REDIS_PY, "coredis", PUBLISHED_PEER)
_SLOWDOWN_LIMIT = 1.3
_LOWEST = 0.9
"""Where the axis of slowdowns begins, unless a value is lower."""
_WITH_STORE = ("starsessions", "Flask-Session", "Django's cache")
"""The packages of the suite web that keep sessions in the same store, rather than in signed cookies."""


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Write all charts for which there are results. Returns their titles by the names of the files."""
    titles = {file: chart(results, folder / file) for file, chart in CHARTS.items()}
    return {file: title for file, title in titles.items() if title}


def _throughput(results: Results, file: Path) -> str:
    rows = [row for row in results.in_section("redis") if row.operation in _OPERATIONS]
    validate = results.row("redis", "validate", case(100))
    if validate is None:
        return ""
    title = f"chuk-sessions validates {_times(validate, OURS, REDIS_PY)} as many sessions per second as redis-py"
    panels(title, {row.operation: _rates(row) for row in rows}, file, unit="calls per second, 100 callers", columns=2)
    return title


def _rates(row: Row) -> Bars:
    rates = {name: row.value(name, "calls/s") for name in _PEERS if name in row.samples}
    limits = [row.value(name, "calls/s") for name in LIMITS if name in row.samples]
    # In a noisy run, the program that shows the limit may be slower than a client. That is no limit.
    return {**rates, LIMIT: max(limits)} if max(limits, default=0.0) >= max(rates.values()) else rates


def _times(row: Row, name: str, other: str, metric: str = "calls/s") -> str:
    return f"{format_number(row.ratio(name, other, metric).median)} times"


def _cpu(results: Results, file: Path) -> str:
    row = results.row("redis", "validate", case(100))
    if row is None:
        return ""
    title = f"A validation costs redis-py {_times(row, REDIS_PY, OURS, 'CPU/call')} as much CPU as chuk-sessions"
    bars = {name: row.value(name, "CPU/call") * _MICRO for name in _PEERS if name in row.samples}
    panels(title, {"": bars}, file, unit="client CPU per validation, µs (logarithmic)", log=True)
    return title


def _p99(results: Results, file: Path) -> str:
    row = results.row("redis", "validate", case(100))
    if row is None:
        return ""
    ours = format_number(row.value(OURS, "p99") * _MILLI)
    title = f"With 100 callers, 99 of 100 validations take chuk-sessions at most {ours} ms"
    bars = {name: row.value(name, "p99") * _MILLI for name in _PEERS if name in row.samples}
    panels(title, {"": bars}, file, unit="99th percentile of a validation, ms (logarithmic)", log=True)
    return title


def _growth(results: Results, file: Path) -> str:
    rows = results.in_section("growth")
    if not rows:
        return ""
    positions = list(rows[0].samples)
    fewest, most = positions[0], positions[-1]
    worst = max(row.growth().median for row in rows)
    title = f"From {fewest} to {most} sessions, calls take at most {format_number(worst)} times as long"
    drawn = [Line(row.operation, [row.ratio(fewest, name).median for name in positions]) for row in rows]
    floor = min(_LOWEST, *(value for line in drawn for value in line.values if value is not None))
    labels = ("live sessions", f"time per call, relative to {fewest} sessions")
    lines(title, positions, drawn, file, labels=labels, target=_SLOWDOWN_LIMIT, floor=floor)
    return title


def _metadata(results: Results, file: Path) -> str:
    rows = results.in_section("metadata")
    if not rows:
        return ""
    positions = list(rows[0].samples)
    merge = next(row for row in rows if row.operation == "merge")
    factor = format_number(merge.growth().median)
    title = f"With {positions[-1]} of metadata, a merge takes {factor} times as long as with {positions[0]}"
    drawn = [Line(row.operation, [row.value(name, "calls/s") for name in positions]) for row in rows]
    lines(title, positions, drawn, file, labels=("metadata per session", "calls per second, 100 callers"))
    return title


def _web(results: Results, file: Path) -> str:
    rows = [row for row in results.in_section("web") if row.operation == "count"]
    if not rows:
        return ""
    others = [row.ratio(name, OURS, "CPU/call").median for row in rows for name in row.samples if name in _WITH_STORE]
    least, most = format_number(min(others)), format_number(max(others))
    title = f"Other sessions in a store need {least} to {most} times the CPU of chuk-sessions to count a visit"
    bars = {
        row.case.partition(", ")[2]: {name: row.value(name, "CPU/call") * _MICRO for name in row.samples}
        for row in rows
    }
    panels(title, bars, file, unit="application CPU per request, µs")
    return title


def _cores(results: Results, file: Path) -> str:
    rows = results.in_section("cores")
    if not rows:
        return ""
    bars = {row.operation: {name: _total_cpu(row, name) * _MICRO for name in row.samples} for row in rows}
    first, *_, last = bars["validate"]
    factor = format_number(bars["validate"][last] / bars["validate"][first])
    title = f"From {first} to {last} nodes and processes, a validation costs {factor}× the CPU"
    panels(title, bars, file, unit="nodes × processes: CPU of clients and servers per call, µs")
    return title


def _total_cpu(row: Row, name: str) -> float:
    return row.value(name, "CPU/call") + row.value(name, "server CPU/call")


CHARTS: dict[str, Callable[[Results, Path], str]] = {
    "throughput.svg": _throughput,
    "cpu.svg": _cpu,
    "p99.svg": _p99,
    "growth.svg": _growth,
    "metadata.svg": _metadata,
    "web.svg": _web,
    "cores.svg": _cores,
}
"""The functions that draw the charts, by file. Each returns its title, or nothing without results."""
