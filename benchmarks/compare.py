"""A comparison of two commits, for the review of a change.

    python -m benchmarks.compare OLD [NEW] [--rounds 7] [--seconds 0.4] [--server PATH]

OLD and NEW are any names of commits that git understands. NEW defaults to the working tree, with changes that are not
committed. Both run the benchmark programs of this checkout, which import public names only, so OLD may be a commit
whose modules had other names.

Prints Markdown: NEW's calls per second, client CPU per call, and median latency for each operation, divided by OLD's.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import ROOT
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Row
from tests.harness.servers import valkey_binary

SERVER_OPERATIONS = (
    "allocate",
    "validate",
    "validate_interval",
    "read",
    "merge",
    "increment",
    "extend",
    "delete",
    "get",
    "setex",
)
EMULATOR_OPERATIONS = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex")
OLD, NEW = "old", "new"


def main() -> None:
    """Run the comparison that the command line asks for."""
    options = _options()
    settings = RunSettings(options.server, options.rounds, options.seconds, long=False)
    with ExitStack() as stack:
        old = stack.enter_context(checked_out(options.old))
        new = stack.enter_context(checked_out(options.new)) if options.new else ROOT
        print("| operation | case | calls/s | CPU per call | p50 |\n|---|---|---|---|---|")
        for row in [*_on_server(settings, old, new), *_on_emulator(settings, old, new)]:
            ratios = [str(row.ratio(NEW, OLD, metric)) for metric in ("calls/s", "CPU/call", "p50")]
            print(f"| {row.section}: {row.operation} | {row.case} | {' | '.join(ratios)} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--server", type=Path, default=valkey_binary())
    return parser.parse_args()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out into a temporary folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _on_server(settings: RunSettings, old: Path, new: Path) -> Iterator[Row]:
    tasks = [Task("redis", operation, 100) for operation in SERVER_OPERATIONS]
    tasks += [Task("redis", "validate", callers) for callers in (1, 1000)]
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings.server))
        peers = _workers(stack, old, new, server.url)
        for task in tasks:
            yield measure_rounds(settings, task, peers)


def _on_emulator(settings: RunSettings, old: Path, new: Path) -> Iterator[Row]:
    with ExitStack() as stack:
        peers = _workers(stack, old, new, "memory")
        for operation in EMULATOR_OPERATIONS:
            yield measure_rounds(settings, Task("emulator", operation, 0), peers)


def _workers(stack: ExitStack, old: Path, new: Path, url: str) -> dict[str, Worker]:
    """Start one worker per tree, and check that each has imported the library from its own."""
    trees = {OLD: old, NEW: new}
    workers = {name: Worker(OURS, tree=tree, url=url, sandbox=name) for name, tree in trees.items()}
    enter_all(stack, workers)
    for name, worker in workers.items():
        imported = Path(worker.capabilities["imported_from"])
        if not imported.is_relative_to(trees[name]):
            raise RuntimeError(f"{name} should run the library of {trees[name]}, but runs that of {imported}")
    return workers


if __name__ == "__main__":
    main()
