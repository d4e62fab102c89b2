"""The plots of the report, as SVG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.harness.process import OURS
from benchmarks.harness.rounds import case

from .results import Results, Row
from .targets import LIMITS

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402  (after the choice of the backend)
from matplotlib.figure import Figure  # noqa: E402

_MILLI = 1e3
_MICRO = 1e6


def draw(results: Results, folder: Path) -> list[str]:
    """Write all plots for which there are results. Returns the names of the files."""
    files = [
        _throughput(results, folder),
        _bars(results, folder, "CPU/call", _MICRO, "client CPU per validate, µs", "cpu.svg"),
        _bars(results, folder, "p99", _MILLI, "p99 of validate with 100 callers, ms", "p99.svg"),
        _lines(results, folder, "growth", "live sessions", "growth.svg"),
        _lines(results, folder, "metadata", "metadata per session", "metadata.svg"),
    ]
    return [file for file in files if file]


def _throughput(results: Results, folder: Path) -> str:
    rows = [
        row
        for row in results.in_section("redis")
        if row.operation in ("allocate", "validate", "read", "merge", "delete")
    ]
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row.samples))
    figure, axes = plt.subplots(figsize=(8, 4))
    width = 0.85 / len(names)
    for position, name in enumerate(names):
        measured = [(number, row) for number, row in enumerate(rows) if name in row.samples]
        axes.bar(
            [number + position * width for number, _ in measured],
            [row.value(name, "calls/s") for _, row in measured],
            width,
            label=name,
            hatch="//" if name in LIMITS else None,
        )
    axes.set_xticks([number + 0.4 for number in range(len(rows))], [row.operation for row in rows])
    axes.set_yscale("log")
    axes.set_ylabel("calls/s, 100 callers, uvloop")
    axes.legend(fontsize=7, ncols=2)
    return _save(figure, folder, "throughput.svg")


def _bars(results: Results, folder: Path, metric: str, scale: float, title: str, file: str) -> str:
    row = results.row("redis", "validate", case(100))
    if row is None:
        return ""
    names = [name for name in row.samples if name not in LIMITS]
    figure, axes = plt.subplots(figsize=(6, 2.5))
    values = [row.value(name, metric) * scale for name in names]
    bars = axes.barh(names, values, color=["C0" if name == OURS else "0.6" for name in names])
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title(title, fontsize=9)
    return _save(figure, folder, file)


def _lines(results: Results, folder: Path, section: str, label: str, file: str) -> str:
    rows: list[Row] = results.in_section(section)
    if not rows:
        return ""
    figure, axes = plt.subplots(figsize=(6, 3))
    for row in rows:
        axes.plot(list(row.samples), [row.value(name, "calls/s") for name in row.samples], "o-", label=row.operation)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("calls/s, 100 callers")
    axes.legend(fontsize=7)
    return _save(figure, folder, file)


def _save(figure: Figure, folder: Path, file: str) -> str:
    figure.tight_layout()
    figure.savefig(folder / file, metadata={"Date": None})
    plt.close(figure)
    return file
