"""`python -m tests.proof`: the random comparisons at full length, one after another, each with its closing line.

Emulator and server side by side, what is damaged or hostile, and histories of calls at the same time. `--server PATH`
takes another server than the bundled one. The seed of the first two is shown; the same one makes the same steps again.
Histories have seeds of their own, from 0 on.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run all of them. Returns 1 when one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="of the state machine")
    parser.add_argument("--cases", type=int, default=100_000, help="of each fuzz test")
    parser.add_argument("--histories", type=int, default=1000, help="that are checked for an order")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="a random one by default")
    parser.add_argument("--server", metavar="PATH_OR_URL", help="a server binary or URL, as pytest's --server takes it")
    given = parser.parse_args()
    os.environ |= {"CHUK_TEST_CASES": str(given.cases), "CHUK_TEST_HISTORIES": str(given.histories)}
    seed = [f"--hypothesis-seed={given.seed}"]
    server = ["--given-only", "--server", given.server] if given.server else []
    closing = [
        _run(
            f"{given.steps:,} steps, seed {given.seed}",
            [*seed, *server, "--steps", str(given.steps), "tests/equivalence/test_state_machine.py"],
        ),
        _run(f"{given.cases:,} cases of each fuzz test, seed {given.seed}", [*seed, *server, "tests/fuzz"]),
        _run(f"{given.histories:,} histories", [*server, "tests/linearizability"]),
    ]
    print("", *(line for line, _ in closing), sep="\n")
    return int(not all(well for _, well in closing))


def _run(what: str, words: list[str]) -> tuple[str, bool]:
    """Its closing line, and whether it went well."""
    print(f"\n{what}", flush=True)
    begun, last = time.monotonic(), ""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return f"{what}: {last} ({time.monotonic() - begun:.0f} s)", process.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
