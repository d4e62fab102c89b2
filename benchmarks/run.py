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

from tests.servers import running, valkey_binary, version_of

from . import against, alone, cores, plots, report
from .results import Results
from .rounds import Settings

PARTS: dict[str, Callable[[Settings, Results], None]] = {
    "redis": against.measure,
    "tls": against.measure_tls,
    "emulator": alone.measure_emulator,
    "processes": alone.measure_processes,
    "growth": alone.measure_growth,
    "spent": alone.measure_spent,
    "pieces": alone.measure_pieces,
    "metadata": alone.measure_metadata,
    "whole": alone.measure_whole,
    "cluster": alone.measure_cluster,
    "memory": alone.measure_memory,
}
INTO = Path(__file__).resolve().parent / "results"


def main() -> None:
    """From the command line."""
    options = _options()
    settings = Settings(options.server, options.rounds, options.seconds, options.long)
    results = Results(_facts(settings))
    for name in options.only:
        PARTS[name](settings, results)
    options.into.mkdir(parents=True, exist_ok=True)
    text = report.markdown(results, plots.draw(results, options.into))
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
