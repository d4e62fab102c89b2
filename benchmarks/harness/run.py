"""The benchmark run: measures the suites and writes `results/`.

    python -m benchmarks [--server PATH] [--long] [--rounds 3] [--seconds 0.3] [--only redis,tls...] [--into FOLDER]

Peers are programs in environments of their own, created under `.peers/`. In each round every peer measures once. The
report shows medians, and ratios computed within a round. `--server` selects a server; the default is that of the tests.
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
from benchmarks.suites import blocking, cache, clients, conditions
from tests.harness.servers import running, valkey_binary, version_of

from .rounds import RunSettings

SUITES: dict[str, Callable[[RunSettings, Results], None]] = {
    "redis": clients.measure,
    "tls": clients.measure_tls,
    "emulator": conditions.measure_emulator,
    "processes": conditions.measure_processes,
    "growth": conditions.measure_growth,
    "server_cpu": conditions.measure_server_cpu,
    "client_profile": conditions.measure_client_profile,
    "metadata": conditions.measure_metadata,
    "lists": conditions.measure_lists,
    "sync": blocking.measure,
    "cache": cache.measure,
    "cluster": conditions.measure_cluster,
    "memory": conditions.measure_memory,
}
RESULTS = Path(__file__).resolve().parents[1] / "results"


def main() -> None:
    """Measure what the command line asks for, and write the report."""
    options = _options()
    settings = RunSettings(options.server, options.rounds, options.seconds, options.long)
    results = Results(_facts(settings))
    for name in options.only:
        SUITES[name](settings, results)
    options.into.mkdir(parents=True, exist_ok=True)
    text = page.markdown(results, plots.draw(results, options.into))
    (options.into / "README.md").write_text(text, encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=valkey_binary(), help="path of a server binary")
    parser.add_argument("--long", action="store_true", help="more rounds, and a million sessions")
    parser.add_argument("--rounds", type=int, help="samples per peer")
    parser.add_argument("--seconds", type=float, help="length of each sample")
    parser.add_argument("--only", default=",".join(SUITES), help=f"suites to measure: {', '.join(SUITES)}")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    options.rounds = options.rounds or (7 if options.long else 3)
    options.seconds = options.seconds or (1.0 if options.long else 0.3)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(SUITES):
        parser.error(f"unknown suites: {', '.join(unknown)}")
    return options


def _facts(settings: RunSettings) -> dict[str, str]:
    with running(settings.server) as server:
        version = version_of(server)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "server": version,
        "placement": cores.describe_placement(),
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
