"""Two commits side by side, for reviewing changes.

    python -m benchmarks.compare OLD [NEW] [--rounds 7] [--seconds 0.4] [--server PATH]

OLD and NEW are what git knows as commits; without NEW it is the working tree, with what has not been committed. Prints
Markdown: for each work NEW's calls per second and client CPU per call by OLD's.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness.cores import serving
from benchmarks.harness.environments import ROOT
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import Settings, Task, enter, take_turns
from benchmarks.report.results import Row
from tests.harness.servers import valkey_binary

SERVED = ("allocate", "validate", "validate_interval", "read", "merge", "increment", "extend", "delete", "get", "setex")
EMULATED = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex")
OLD, NEW = "old", "new"


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--server", type=Path, default=valkey_binary())
    options = parser.parse_args()
    settings = Settings(options.server, options.rounds, options.seconds, long=False)
    with ExitStack() as stack:
        old = stack.enter_context(checked_out(options.old))
        new = stack.enter_context(checked_out(options.new)) if options.new else ROOT
        print("| work | case | calls/s | CPU per call | p50 |\n|---|---|---|---|---|")
        for row in [*_served(settings, old, new), *_emulated(settings, old, new)]:
            ratios = [str(row.ratio(NEW, OLD, metric)) for metric in ("calls/s", "CPU/call", "p50")]
            print(f"| {row.section}: {row.work} | {row.case} | {' | '.join(ratios)} |", flush=True)


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with that commit, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _served(settings: Settings, old: Path, new: Path) -> Iterator[Row]:
    with ExitStack() as stack:
        server = stack.enter_context(serving(settings.server))
        made = {name: Worker(OURS, tree=tree, url=server.url, sandbox=name) for name, tree in ((OLD, old), (NEW, new))}
        peers = enter(stack, made)
        for task in (
            *(Task("redis", work, 100) for work in SERVED),
            *(Task("redis", "validate", n) for n in (1, 1000)),
        ):
            yield take_turns(settings, task, peers)


def _emulated(settings: Settings, old: Path, new: Path) -> Iterator[Row]:
    with ExitStack() as stack:
        peers = enter(stack, {name: Worker(OURS, tree=tree, url="memory") for name, tree in ((OLD, old), (NEW, new))})
        for work in EMULATED:
            yield take_turns(settings, Task("emulator", work, 0), peers)


if __name__ == "__main__":
    main()
