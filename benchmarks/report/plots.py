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


def draw(results: Results, folder: Path) -> list[str]:
    """Write all charts for which there are results. Returns the names of the files."""
    return [file for file, chart in CHARTS.items() if chart(results, folder / file)]


def _throughput(results: Results, file: Path) -> bool:
    rows = [row for row in results.in_section("redis") if row.operation in _OPERATIONS]
    validate = results.row("redis", "validate", case(100))
    if validate is None:
        return False
    title = f"chuk-sessions validates {_times(validate, OURS, REDIS_PY)} as many sessions per second as redis-py"
    panels(title, {row.operation: _rates(row) for row in rows}, file, unit="calls per second, 100 callers", columns=2)
    return True


def _rates(row: Row) -> Bars:
    rates = {name: row.value(name, "calls/s") for name in _PEERS if name in row.samples}
    limits = [row.value(name, "calls/s") for name in LIMITS if name in row.samples]
    return {**rates, LIMIT: max(limits)} if limits else rates


def _times(row: Row, name: str, other: str, metric: str = "calls/s") -> str:
    return f"{format_number(row.ratio(name, other, metric).median)} times"


def _cpu(results: Results, file: Path) -> bool:
    row = results.row("redis", "validate", case(100))
    if row is None:
        return False
    title = f"A validation costs redis-py {_times(row, REDIS_PY, OURS, 'CPU/call')} as much CPU as chuk-sessions"
    bars = {name: row.value(name, "CPU/call") * _MICRO for name in _PEERS if name in row.samples}
    panels(title, {"": bars}, file, unit="client CPU per validation, µs (logarithmic)", log=True)
    return True


def _p99(results: Results, file: Path) -> bool:
    row = results.row("redis", "validate", case(100))
    if row is None:
        return False
    ours = format_number(row.value(OURS, "p99") * _MILLI)
    title = f"With 100 callers, 99 of 100 validations take chuk-sessions at most {ours} ms"
    bars = {name: row.value(name, "p99") * _MILLI for name in _PEERS if name in row.samples}
    panels(title, {"": bars}, file, unit="99th percentile of a validation, ms (logarithmic)", log=True)
    return True


def _growth(results: Results, file: Path) -> bool:
    rows = results.in_section("growth")
    if not rows:
        return False
    positions = list(rows[0].samples)
    fewest, most = positions[0], positions[-1]
    worst = max(row.growth().median for row in rows)
    title = f"Among {most} sessions, no call takes more than {format_number(worst)} times as long as among {fewest}"
    drawn = [Line(row.operation, [row.ratio(fewest, name).median for name in positions]) for row in rows]
    labels = ("live sessions", f"time per call, relative to {fewest} sessions")
    lines(title, positions, drawn, file, labels=labels, target=_SLOWDOWN_LIMIT)
    return True


def _metadata(results: Results, file: Path) -> bool:
    rows = results.in_section("metadata")
    if not rows:
        return False
    positions = list(rows[0].samples)
    title = f"A merge of one value takes about as long with {positions[-1]} of metadata as with {positions[0]}"
    drawn = [Line(row.operation, [row.value(name, "calls/s") for name in positions]) for row in rows]
    lines(title, positions, drawn, file, labels=("metadata per session", "calls per second, 100 callers"))
    return True


def _web(results: Results, file: Path) -> bool:
    rows = [row for row in results.in_section("web") if row.operation == "count"]
    if not rows:
        return False
    title = "A request that counts a visit in its session: CPU of the application"
    bars = {
        row.case.partition(", ")[2]: {name: row.value(name, "CPU/call") * _MICRO for name in row.samples}
        for row in rows
    }
    panels(title, bars, file, unit="application CPU per request, µs")
    return True


CHARTS: dict[str, Callable[[Results, Path], bool]] = {
    "throughput.svg": _throughput,
    "cpu.svg": _cpu,
    "p99.svg": _p99,
    "growth.svg": _growth,
    "metadata.svg": _metadata,
    "web.svg": _web,
}
"""The functions that draw the charts, by file. Each returns whether there were results for it."""
