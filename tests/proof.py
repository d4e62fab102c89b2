"""`python -m tests.proof`: the randomized comparisons at full length, one after another, each with a summary line.

It compares emulator and server step by step, feeds damaged and hostile input, checks histories of concurrent calls,
kills processes that write and read events, counts events, changes keys under load, and searches dumps for what should
be encrypted. `--server PATH` tests another server than the bundled one, except for the kills and encryption. The seed
of the first two is printed, and the same seed repeats the same steps. The histories use the seeds 0, 1, 2, and so on.
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
    """Run all comparisons. Return 1 if one of them failed."""
    options = _options()
    os.environ |= {"CHUK_TEST_CASES": str(options.cases), "CHUK_TEST_HISTORIES": str(options.histories)}
    os.environ["CHUK_TEST_ENDS"] = str(options.ends)
    seed = [f"--hypothesis-seed={options.seed}"]
    server = ["--given-only", "--server", options.server] if options.server else []
    results = [
        _run(
            f"{options.steps:,} steps, seed {options.seed}",
            [*seed, *server, "--steps", str(options.steps), "tests/equivalence/test_state_machine.py"],
        ),
        _run(f"{options.cases:,} cases of each fuzz test, seed {options.seed}", [*seed, *server, "tests/fuzz"]),
        _run(f"{options.histories:,} histories", [*server, "tests/linearizability"]),
        _run("events when processes are killed", ["tests/events/test_scenarios.py"], CHUK_TEST_LONG="1"),
        _run(
            "encryption: dumps, and changes of keys",
            ["tests/security/test_dump.py", "tests/encryption"],
            CHUK_TEST_LONG="1",
        ),
        _run("migrations when processes are killed", ["tests/migration/test_kills.py", "-s"], CHUK_TEST_LONG="1"),
        _run("webhooks when processes are killed", ["tests/webhooks/test_deliveries.py"], CHUK_TEST_LONG="1"),
        _run(
            f"{options.steps:,} steps of sessions and their events, seed {options.seed}",
            [*seed, "--steps", str(3 * options.steps), "tests/equivalence/test_lifecycles.py"],
        ),
        _run(f"{options.ends:,} ends for each reason", [*server, "tests/contract/test_sweep_reasons.py"]),
    ]
    print("", *(summary for summary, _ in results), sep="\n")
    return int(not all(passed for _, passed in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="steps of the state machine")
    parser.add_argument("--cases", type=int, default=100_000, help="cases of each fuzz test")
    parser.add_argument("--ends", type=int, default=100_000, help="sessions that end for each reason, and are told")
    parser.add_argument("--histories", type=int, default=1000, help="histories of concurrent calls")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**32), help="seed of steps and cases; random by default"
    )
    parser.add_argument("--server", metavar="PATH_OR_URL", help="a server binary or URL, as for pytest's --server")
    return parser.parse_args()


def _run(title: str, arguments: list[str], **variables: str) -> tuple[str, bool]:
    """Run pytest. Return a line that sums it up, and whether it passed."""
    print(f"\n{title}", flush=True)
    started, last = time.monotonic(), ""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return f"{title}: {last} ({time.monotonic() - started:.0f} s)", process.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
