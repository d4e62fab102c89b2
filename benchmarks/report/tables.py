"""The tables of docs/performance.md, which a run writes between the page's markers.

A table is written if its suite has been measured. To add one, put a function into TABLES, and markers into the page:

    <!-- table: NAME -->
    <!-- end of table -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness.process import OURS

from .results import Results, Row, format_number
from .targets import PUBLISHED_PEER

_MICRO = 1e6
_MILLI = 1e3
_NONE = "–"
_QUIET = 1.0
"""The highest load average before a run whose rates can be compared with those of other runs."""
_BUSY = "**Other jobs used the machine:** compare ratios and CPU per call, not calls per second."
_THROUGHPUT_PEERS = (OURS, "redis-py", "valkey-glide", "coredis", PUBLISHED_PEER)
_THROUGHPUT_OPERATIONS = ("allocate", "validate", "read", "merge", "increment", "extend")
_REQUESTS = {
    "nothing": "A request without a session: no cookie, and a view that does not use the session",
    "read": "A request that reads its session",
    "count": "A request that counts a visit in its session",
}


def write(page: Path, measured: Mapping[str, Results]) -> None:
    """Write the tables of the suites that have been measured into the page."""
    text = page.read_text(encoding="utf-8")
    for suite, table in TABLES.items():
        if suite in measured:
            lines = [conditions(measured[suite]), "", *table(measured[suite])]
            text = replaced(text, suite, "\n".join(lines))
    page.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, table: str) -> str:
    """Return the page's text with a new table between the markers of that name.

    Raises:
        ValueError: the page has no such markers.

    """
    pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end of table -->)"
    text, number = re.subn(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.S)
    if number != 1:
        raise ValueError(f"the page needs markers of the table {name}, once")
    return text


def conditions(results: Results) -> str:
    """Return a sentence about the run."""
    facts = results.facts
    run = f"Run of {facts['date']}: {facts['machine']}; {facts['server']}, Python {facts['Python']}"
    sentence = f"{run}; {facts['rounds']}; load average before it: {facts['load before']}."
    return f"{sentence} {_BUSY}" if is_busy(facts["load before"]) else sentence


def is_busy(load: str) -> bool:
    """Return whether other jobs used the machine so much that rates mean little."""
    return load.replace(".", "", 1).isdigit() and float(load) > _QUIET


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table whose first column is text, and the others numbers."""
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"


def _throughput(results: Results) -> Iterator[str]:
    versions = {name: results.facts.get(name, "") for name in _THROUGHPUT_PEERS}
    heads = [name if name == PUBLISHED_PEER else f"{name} {versions[name]}".strip() for name in _THROUGHPUT_PEERS]
    rows = [row for row in results.in_section("redis") if row.operation in _THROUGHPUT_OPERATIONS]
    cells = ([row.operation, *(_rate(row, name) for name in _THROUGHPUT_PEERS)] for row in rows)
    yield from markdown(["calls per second", *heads], cells)


def _rate(row: Row, name: str) -> str:
    return format_number(row.value(name, "calls/s")) if name in row.samples else _NONE


def _web(results: Results) -> Iterator[str]:
    heads = ["framework", "sessions", "requests/s", "ratio", "app CPU, µs", "ratio", "store CPU, µs"]
    for view, title in _REQUESTS.items():
        rows = [row for row in results.in_section("web") if row.operation == view]
        yield from (f"{title}:", "")
        yield from markdown(heads, (_web_cells(row, name) for row in rows for name in row.samples))
        yield ""
    yield from _kept(results)


def _web_cells(row: Row, name: str) -> list[str]:
    cpu, store_cpu = (row.value(name, metric) * _MICRO for metric in ("CPU/call", "server CPU/call"))
    ratios = ["1" if name == OURS else str(row.ratio(name, OURS, metric)) for metric in ("calls/s", "CPU/call")]
    rate = format_number(row.value(name, "calls/s"))
    return [row.case.partition(", ")[2], name, rate, ratios[0], format_number(cpu), ratios[1], format_number(store_cpu)]


def _kept(results: Results) -> Iterator[str]:
    added = max(kept.added for kept in results.kept)
    yield from (f"Items in the cart after {added} requests of one session that add one each, at the same time:", "")
    heads = ["framework", "sessions", "as documented", "list read and written back"]
    rows = ([kept.case, kept.package, str(kept.best), str(kept.rewritten)] for kept in results.kept)
    yield from markdown(heads, rows)


def _cores(results: Results) -> Iterator[str]:
    heads = [
        "nodes × processes",
        "calls/s",
        "ratio",
        "client CPU, µs",
        "server CPU, µs",
        "cores busy",
        "computed",
    ]
    for row in results.in_section("cores"):
        yield from (f"{row.operation}, {row.case.partition(',')[0]} for each process:", "")
        yield from markdown(heads, (_cores_cells(row, name) for name in row.samples))
        yield ""
    yield from ("One process with one event loop, on a core of its own:", "")
    yield from _event_loop(results)


def _cores_cells(row: Row, name: str) -> list[str]:
    first = next(iter(row.samples))
    client, server = (row.value(name, metric) for metric in ("CPU/call", "server CPU/call"))
    ratio = "1" if name == first else str(row.ratio(name, first))
    nodes, processes = map(int, name.split(" × "))
    rate = row.value(name, "calls/s")
    busy = f"{rate * (client + server):.2f}"
    computed = format_number(min(processes / client, nodes / server))
    costs = [format_number(cpu * _MICRO) for cpu in (client, server)]
    return [name, format_number(rate), ratio, *costs, busy, computed]


def _event_loop(results: Results) -> Iterator[str]:
    heads = [
        "call",
        "loop",
        "calls/s",
        "loop busy",
        "server busy",
        "client CPU, µs",
        "computed",
        "median, ms",
        "p99, ms",
    ]
    rows = results.in_section("event_loop")
    yield from markdown(heads, (_loop_cells(row, name) for row in rows for name in row.samples))


def _loop_cells(row: Row, name: str) -> list[str]:
    rate, client = row.value(name, "calls/s"), row.value(name, "CPU/call")
    busy = [f"{rate * cpu:.0%}" for cpu in (client, row.value(name, "server CPU/call"))]
    costs = [format_number(client * _MICRO), format_number(1 / client)]
    latencies = [format_number(row.value(name, metric) * _MILLI) for metric in ("p50", "p99")]
    operation = f"{row.operation}, {row.case.partition(',')[0]}"
    return [operation, name, format_number(rate), *busy, *costs, *latencies]


def _growth(results: Results) -> Iterator[str]:
    rows = results.in_section("growth")
    fewest, *_, most = rows[0].samples
    metrics = {"time per call": "calls/s", "client CPU": "CPU/call", "server CPU": "server CPU/call"}
    heads = [f"among {most} sessions, divided by {fewest}", *metrics]
    cells = ([row.operation, *(_growth_cell(row, metric) for metric in metrics.values())] for row in rows)
    yield from markdown(heads, cells)


def _growth_cell(row: Row, metric: str) -> str:
    return str(row.growth(metric)) if row.value(next(iter(row.samples)), metric) else _NONE


TABLES: dict[str, Callable[[Results], Iterator[str]]] = {
    "redis": _throughput,
    "web": _web,
    "growth": _growth,
    "cores": _cores,
}
"""The tables by the name of their suite."""
