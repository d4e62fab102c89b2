"""The benchmark run: measures the suites, and writes `results/` and the tables of docs/performance.md.

    python -m benchmarks [--server PATH] [--long] [--rounds 3] [--seconds 0.3] [--only redis,tls...] [--into FOLDER]
        [--nodes 1,2] [--processes 1,2]

Peers are programs in environments of their own, created under `.peers/`. In each round every peer measures once. The
report shows medians, and ratios computed within a round. `--server` selects a server; the default is that of the tests.

The measurements of each suite are kept in a file of its own, so `--only` leaves those of the others in the report.
`--only none` measures nothing, and writes the report again.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import cores
from benchmarks.harness.environments import BENCHMARKS, ROOT
from benchmarks.report import page, plots, storage, tables
from benchmarks.report.results import Results
from benchmarks.suites import blocking, cache, clients, conditions, federation, more_cores, web
from tests.harness.servers import running, valkey_binary, version_of

from .rounds import RunSettings

SUITES: dict[str, Callable[[RunSettings, Results], None]] = {
    "redis": clients.measure,
    "tls": clients.measure_tls,
    "emulator": conditions.measure_emulator,
    "cores": more_cores.measure,
    "growth": conditions.measure_growth,
    "server_cpu": conditions.measure_server_cpu,
    "client_profile": conditions.measure_client_profile,
    "metadata": conditions.measure_metadata,
    "lists": conditions.measure_lists,
    "sync": blocking.measure,
    "cache": cache.measure,
    "cluster": conditions.measure_cluster,
    "memory": conditions.measure_memory,
    "web": web.measure,
    "federation": federation.measure,
}
RESULTS = BENCHMARKS / "results"
MEASUREMENTS = "measurements"
PERFORMANCE = ROOT / "docs" / "performance.md"


def main() -> None:
    """Measure what the command line asks for, and write the report."""
    options = _options()
    settings = RunSettings(
        options.server, options.rounds, options.seconds, options.long, options.nodes, options.processes
    )
    facts = _facts(settings)
    for name in options.only:
        results = Results(dict(facts))
        SUITES[name](settings, results)
        storage.save(results, options.into / MEASUREMENTS / f"{name}.json")
    print(report(options.into))


def report(folder: Path) -> str:
    """Write the report of everything that has been measured into this folder. Returns the text of its page."""
    measured = storage.load_all(folder / MEASUREMENTS, SUITES)
    text = page.markdown(measured, plots.draw(Results.merged(measured.values()), folder))
    (folder / "README.md").write_text(text, encoding="utf-8")
    if folder == RESULTS:
        tables.write(PERFORMANCE, measured)
    return text


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=valkey_binary(), help="path of a server binary")
    parser.add_argument("--long", action="store_true", help="more rounds, and a million sessions")
    parser.add_argument("--rounds", type=int, help="samples per peer")
    parser.add_argument("--seconds", type=float, help="length of each sample")
    parser.add_argument("--only", default=",".join(SUITES), help=f"suites to measure: {', '.join(SUITES)}")
    parser.add_argument("--nodes", type=_numbers, default=(1, 2), help="numbers of cluster nodes, for the suite cores")
    parser.add_argument("--processes", type=_numbers, default=(1, 2), help="numbers of client processes, likewise")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    options.rounds = options.rounds or (7 if options.long else 3)
    options.seconds = options.seconds or (1.0 if options.long else 0.3)
    options.only = options.only.split(",") if options.only != "none" else []
    if unknown := set(options.only) - set(SUITES):
        parser.error(f"unknown suites: {', '.join(unknown)}")
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _facts(settings: RunSettings) -> dict[str, str]:
    with running(settings.server) as server:
        version = version_of(server)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "server": version,
        "placement": cores.describe_placement(),
        "rounds": f"{settings.rounds} rounds of {settings.seconds:g} s",
        "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "",
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
