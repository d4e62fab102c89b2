"""Measures, and writes `results/`.

    python -m benchmarks [--server PATH] [--long] [--rounds 3] [--seconds 0.3] [--only redis,tls...] [--into FOLDER]

Peers are programs in environments of their own, made under `.peers/`. In each round everybody has a turn; what is told
are medians, and ratios taken round by round. Server: the one that the tests use, or another by `--server`.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import cores
from benchmarks.report import page, plots
from benchmarks.report.results import Results
from benchmarks.suites import clients, conditions
from tests.harness.servers import running, valkey_binary, version_of

from .rounds import Settings

PARTS: dict[str, Callable[[Settings, Results], None]] = {
    "redis": clients.measure,
    "tls": clients.measure_tls,
    "emulator": conditions.measure_emulator,
    "processes": conditions.measure_processes,
    "growth": conditions.measure_growth,
    "spent": conditions.measure_spent,
    "pieces": conditions.measure_pieces,
    "metadata": conditions.measure_metadata,
    "whole": conditions.measure_whole,
    "cluster": conditions.measure_cluster,
    "memory": conditions.measure_memory,
}
INTO = Path(__file__).resolve().parents[1] / "results"


def main() -> None:
    """From the command line."""
    options = _options()
    settings = Settings(options.server, options.rounds, options.seconds, options.long)
    results = Results(_facts(settings))
    for name in options.only:
        PARTS[name](settings, results)
    options.into.mkdir(parents=True, exist_ok=True)
    text = page.markdown(results, plots.draw(results, options.into))
    (options.into / "README.md").write_text(text, encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=valkey_binary(), help="path of a server binary")
    parser.add_argument("--long", action="store_true", help="more rounds, and a million sessions")
    parser.add_argument("--rounds", type=int, help="turns that each has")
    parser.add_argument("--seconds", type=float, help="of each turn")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to measure: {', '.join(PARTS)}")
    parser.add_argument("--into", type=Path, default=INTO, help="folder for the results")
    options = parser.parse_args()
    options.rounds = options.rounds or (7 if options.long else 3)
    options.seconds = options.seconds or (1.0 if options.long else 0.3)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def _facts(settings: Settings) -> dict[str, str]:
    with running(settings.server) as server:
        version = version_of(server)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "server": version,
        "placement": cores.told(),
        "rounds": f"{settings.rounds} of {settings.seconds:g} s",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
