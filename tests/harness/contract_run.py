"""A run of the contract suite on servers that a test has started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALL = "tests/contract"


def run_contract(*servers: str, tests: str = ALL, rules: str = "") -> str:
    """Run `tests/contract`, or one of its modules, on these servers only. They are given as for `--server`.

    With ACL rules, the tests run as a user with these rules. Return the end of pytest's output.

    Raises:
        AssertionError: a test failed, or no test ran.

    """
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "--given-only"]
    words += [word for server in servers for word in ("--server", server)]
    words += [f"--rules={rules}"] if rules else []
    environment = {name: value for name, value in os.environ.items() if name != "CHUK_TEST_SERVERS"}
    result = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return result.stdout[-500:]
