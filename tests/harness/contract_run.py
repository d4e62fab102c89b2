"""Runs the contract suite against a server that only a test knows of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_contract(*servers: str, tests: str = "tests/contract", rules: str = "") -> str:
    """Run `tests/contract`, or one of its modules, on those servers, as `--server` takes them, and on nothing else.

    With ACL rules, it runs as a user who has those. Returns what pytest says.

    Raises AssertionError when a test fails, or none has run.
    """
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "--given-only"]
    words += [word for server in servers for word in ("--server", server)]
    words += [f"--rules={rules}"] if rules else []
    environment = {name: value for name, value in os.environ.items() if name != "CHUK_TEST_SERVERS"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout[-500:]
