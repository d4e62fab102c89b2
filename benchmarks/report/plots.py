"""The results as pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.harness.process import OURS
from benchmarks.harness.rounds import case

from .results import Results, Row
from .targets import LIMITS

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen before)

_MILLI = 1e3
_MICRO = 1e6


def draw(results: Results, folder: Path) -> list[str]:
    """Write all pictures. Returns their names."""
    made = [
        _throughput(results, folder),
        _bars(results, folder, "CPU/call", _MICRO, "client CPU per validate, µs", "cpu.svg"),
        _bars(results, folder, "p99", _MILLI, "p99 of validate with 100 callers, ms", "p99.svg"),
        _lines(results, folder, "growth", "live sessions", "growth.svg"),
        _lines(results, folder, "metadata", "metadata per session", "metadata.svg"),
    ]
    return [name for name in made if name]


def _throughput(results: Results, folder: Path) -> str:
    rows = [row for row in results.of("redis") if row.work in ("allocate", "validate", "read", "merge", "delete")]
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row.samples))
    figure, axes = plt.subplots(figsize=(8, 4))
    width = 0.85 / len(names)
    for place, name in enumerate(names):
        having = [(number, row) for number, row in enumerate(rows) if name in row.samples]
        axes.bar(
            [number + place * width for number, _ in having],
            [row.value(name, "calls/s") for _, row in having],
            width,
            label=name,
            hatch="//" if name in LIMITS else None,
        )
    axes.set_xticks([number + 0.4 for number in range(len(rows))], [row.work for row in rows])
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
    rows: list[Row] = results.of(section)
    if not rows:
        return ""
    figure, axes = plt.subplots(figsize=(6, 3))
    for row in rows:
        axes.plot(list(row.samples), [row.value(name, "calls/s") for name in row.samples], "o-", label=row.work)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("calls/s, 100 callers")
    axes.legend(fontsize=7)
    return _save(figure, folder, file)


def _save(figure: plt.Figure, folder: Path, file: str) -> str:
    figure.tight_layout()
    figure.savefig(folder / file, metadata={"Date": None})
    plt.close(figure)
    return file
