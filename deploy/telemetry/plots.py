"""Draw the panels of the dashboard, from a demo run: `python -m deploy.telemetry.plots [--seconds 75]`.

It starts a store, a demo process, and a Prometheus, and disturbs the store twice: it cuts all connections, and it hangs
for two seconds. It needs the extras `dev` and `bench`, and Debian's package prometheus.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import style
from benchmarks.report.colors import SERIES
from deploy.telemetry.panels import INTERVAL, SECTIONS, Panel
from tests.harness.servers import Server, running, valkey_binary
from tests.telemetry.prometheus import Prometheus, scraped_demo

style.use("telemetry", font_size=8)

from matplotlib import pyplot as plt  # noqa: E402  (after the choice of the backend)

FOLDER = Path(__file__).parent / "plots"
STEP = 1.0
_COLUMNS = 2
_UNITS = {"s": "seconds", "ops": "per second", "percentunit": "share", "short": ""}


def main() -> None:
    """Run the demo, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=75)
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        running(valkey_binary()) as server,
        scraped_demo(server.url, Path(folder), "500ms") as prometheus,
    ):
        time.sleep(10)
        begin = time.time()
        disturb(server, seconds)
        FOLDER.mkdir(exist_ok=True)
        for title, row in SECTIONS.items():
            draw(prometheus, title, row, begin, time.time())


def disturb(server: Server, seconds: float) -> None:
    """Cut all connections after a third of the time, and let the store hang after two thirds."""
    time.sleep(seconds / 3)
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(seconds / 3)
        client.execute_command("CLIENT", "PAUSE", "2000", "ALL")
    time.sleep(seconds / 3)


def draw(prometheus: Prometheus, title: str, row: tuple[Panel, ...], begin: float, end: float) -> None:
    """Draw the panels of a section into one file."""
    rows = -(-len(row) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(9, 2.1 * rows), squeeze=False, layout="constrained")
    for axes, panel in zip(grid.flat, row, strict=False):
        _draw_panel(axes, prometheus, panel, begin, end)
    for axes in list(grid.flat)[len(row) :]:
        axes.set_visible(False)
    figure.savefig(FOLDER / f"{re.sub(r'[^a-z]+', '-', title.lower())}.svg", metadata={"Date": None})
    plt.close(figure)


def _draw_panel(axes: Any, prometheus: Prometheus, panel: Panel, begin: float, end: float) -> None:
    lines = []
    for query in panel.queries:
        text = query.text.replace(INTERVAL, "5s").replace("$job", ".+")
        for found in prometheus.series(text, begin, end, STEP):
            points = [(float(at) - begin, float(value)) for at, value in found["values"]]
            if any(value for _, value in points) or len(panel.queries) == 1:
                lines.append((_legend(query.legend, found["metric"]), points))
    assert lines, f"there is no data for {panel.title}"
    # The largest lines, and no more than there are colors.
    lines.sort(key=lambda line: -max(value for _, value in line[1]))
    for (name, points), color in zip(lines, SERIES, strict=False):
        axes.plot([at for at, _ in points], [value for _, value in points], color=color, linewidth=1.2, label=name)
    unit = _UNITS[panel.unit]
    axes.set_title(f"{panel.title}, {unit}" if unit else panel.title, loc="left")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, end - begin)
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, handlelength=1.0, fontsize=7)


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), pattern)


if __name__ == "__main__":
    main()
