"""The parts of the charts: panels of bars, and lines with their names at the end. Legends would cover data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.process import OURS

from . import style
from .colors import LIMIT_COLOR, OURS_COLOR, PEER_COLOR, SERIES, TEXT
from .labels import spread
from .results import format_number

style.use("benchmarks")

from matplotlib import pyplot as plt  # noqa: E402  (after the choice of the backend)

LIMIT = "server's limit"
"""The name of the bar that shows what the server itself can do."""

_WIDTH = 8.0
_BAR_HEIGHT = 0.24
_PANEL_HEAD = 0.35
_HEAD = 1.0
"""Inches: the width of a chart, and the heights of a bar, of a panel's name, and of the title with the unit."""
_TITLE_WIDTH = 76
"""Characters of a title's line."""

Bars = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: one value for each position on the horizontal axis, None if it was not measured."""

    name: str
    values: Sequence[float | None]


def panels(title: str, bars: Mapping[str, Bars], file: Path, *, unit: str, columns: int = 0, log: bool = False) -> None:
    """Draw a panel of horizontal bars for each name in `bars`. Each bar has its value next to it."""
    columns = columns or len(bars)
    rows = -(-len(bars) // columns)
    tallest = max(map(len, bars.values()))
    size = (_WIDTH, _HEAD + rows * (_BAR_HEIGHT * tallest + _PANEL_HEAD))
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    shares_names = len({tuple(values) for values in bars.values()}) == 1
    for position, (axes, (name, values)) in enumerate(zip(grid.flat, bars.items(), strict=False)):
        _draw_bars(axes, values, log=log)
        axes.set_title(name, loc="left")
        if shares_names and position % columns:
            axes.set_yticks([])
    for axes in list(grid.flat)[len(bars) :]:
        axes.set_visible(False)
    _write_title(figure, title)
    figure.supxlabel(unit, x=0.01, ha="left", fontsize=8, color=TEXT)
    _save(figure, file)


def _draw_bars(axes: Any, values: Bars, *, log: bool) -> None:
    names = list(values)
    colors = [_color(name) for name in names] if OURS in values else OURS_COLOR
    drawn = axes.barh(names, list(values.values()), color=colors, height=0.72)
    axes.bar_label(drawn, labels=[format_number(value) for value in values.values()], padding=3, fontsize=8)
    axes.invert_yaxis()
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(values.values()) / 3, max(values.values()) * 8)
    else:
        axes.set_xlim(0, max(values.values()) * 1.35)
    axes.set_xticks([], minor=False)
    axes.set_xticks([], minor=True)
    axes.tick_params(left=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    for label in axes.get_yticklabels():
        if label.get_text() == OURS:
            label.set(fontweight="bold", color=OURS_COLOR)


def _color(name: str) -> str:
    if name == OURS:
        return OURS_COLOR
    return LIMIT_COLOR if name == LIMIT else PEER_COLOR


def lines(
    title: str,
    positions: Sequence[str],
    drawn: Sequence[Line],
    file: Path,
    *,
    labels: tuple[str, str],
    target: float | None = None,
    floor: float = 0,
) -> None:
    """Draw lines over evenly spaced positions, with their names to the right of their ends, and a target if any."""
    figure, axes = plt.subplots(figsize=(_WIDTH, 3.6), layout="constrained")
    for line, color in zip(drawn, SERIES, strict=False):
        points = [(number, value) for number, value in enumerate(line.values) if value is not None]
        axes.plot([number for number, _ in points], [value for _, value in points], "o-", color=color, markersize=4)
    if target is not None:
        axes.axhline(target, color=LIMIT_COLOR, linestyle="--", linewidth=1)
        axes.annotate(f"target: {target:g}", (0, target), xytext=(0, 4), textcoords="offset points", color=LIMIT_COLOR)
    axes.set_ylim(bottom=floor)
    axes.yaxis.set_major_formatter(lambda value, _: format_number(value))
    axes.set_xticks(range(len(positions)), positions)
    axes.set_xlim(-0.08, len(positions) - 0.95)
    axes.grid(axis="y")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    _write_title(figure, title)
    _name_ends(axes, drawn)
    _save(figure, file)


def _name_ends(axes: Any, drawn: Sequence[Line]) -> None:
    """Write the names next to the ends of the lines, at least a line of text apart."""
    axes.figure.canvas.draw()
    ends = []
    for line, color in zip(drawn, SERIES, strict=False):
        number, value = [(n, v) for n, v in enumerate(line.values) if v is not None][-1]
        height = axes.transData.transform((number, value))[1] * 72 / axes.figure.dpi
        ends.append((height, number, value, line.name, color))
    heights = spread([height for height, *_ in sorted(ends)], 11.0)
    for place, (height, number, value, name, color) in zip(heights, sorted(ends), strict=True):
        offset = (12, place - height)
        arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            f"{name} {format_number(value)}",
            (number, value),
            xytext=offset,
            textcoords="offset points",
            va="center",
            annotation_clip=False,
            color=color,
            arrowprops=arrow,
        )


def _write_title(figure: Any, title: str) -> None:
    text = textwrap.fill(title, _TITLE_WIDTH) + "\n"
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold", color=TEXT)


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
