"""Turns of concurrent test processes: see tests/harness/quiet.py."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys, time
from pathlib import Path
from tests.harness import quiet
quiet._FILE, quiet._IS_NESTED = Path(sys.argv[1]) / "lock", False
for _ in range(5):
    with quiet.turn(alone=sys.argv[2] == "alone"):
        begun = time.monotonic_ns()
        time.sleep(0.01)
        print(begun, time.monotonic_ns(), sys.argv[2])
"""


def test_a_quiet_test_runs_while_no_other_does(tmp_path):
    kinds = ("alone", "together", "together", "alone", "together")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), kind], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for kind in kinds
    ]
    lines = [line.split() for process in running for line in process.communicate()[0].splitlines()]
    turns = [(int(begun), int(ended), kind) for begun, ended, kind in lines]
    assert len(turns) == 5 * len(kinds)
    for (begun, ended, kind), (other_begun, other_ended, other_kind) in combinations(turns, 2):
        assert kind == other_kind == "together" or ended <= other_begun or other_ended <= begun
