"""The examples: each one runs on the emulator and on a server, and passes strict type checks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "quickstart": ["user:123 holds alice", "request refused, count: 2", "the old id is valid: False"],
    "login_and_rotation": [
        "after login the guest's id is valid: False",
        "the cart came along: ['book', 'lamp'] of alice",
        "old id, during the grace period: True",
        "devices: 2",
        "phone: False this device: True",
    ],
    "rate_limiting": [
        "50 requests at once: 10 allowed, 40 refused",
        "try again after",
        "the same request: 200 remaining: 9\nthe same request: 200 remaining: 9",
    ],
    "artifacts_on_grid_paths": [
        "saved 2 artifacts under grid/studio/",
        "a path that climbs is refused",
        "collected 2 artifacts of deleted sessions",
    ],
    "mcp_conversation": [
        "tool calls: 10 on two hosts",
        "transcript entries: 10",
        "distinct artifacts: 10",
        "next call on the other host: 404",
    ],
    "federation": [
        "printed: Quarterly figures",
        "another path is refused\nanother action is refused\nanother service is refused",
        "after the rotation: Quarterly figures",
        "after the session was deleted: refused",
    ],
    "jwt_blocklist": ["accepted: alice", "blocked: deleted", "after the logout: None"],
    "encryption_kms": [
        "before: {'2026-11': 1}\nafter: {'2027-02': 1}",
        "with the new key alone: alice {'token': 'secret'}",
        "without keys: KeyUnavailableError",
    ],
    "multi_tenant": [
        "sessions at acme: 1 of 3 refused; at globex: 0 of 3 refused",
        "acme's id is valid at globex: False",
        "revoked at acme: 2",
        "left at globex: 3",
    ],
}


@pytest.fixture(params=["memory", "redis"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment that a reader would set."""
    if request.param == "memory":
        return clean_environment()
    server = request.getfixturevalue("server")
    return clean_environment() | {"SESSION_PROVIDER": "redis", "SESSION_REDIS_URL": server.url}


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "REDIS_", "CHUK_"))}


def run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_every_example_is_tested():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_and_print_results(name, environment):
    command = [sys.executable, "-W", "error", f"examples/{name}.py"]
    done = run(command, {**environment, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert [line for line in EXAMPLES[name] if line not in done.stdout] == []


@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]], ids=lambda c: c[0]
)
def test_examples_pass_the_type_checkers(checker):
    if importlib.util.find_spec(checker[0]) is None:
        missing(f"the package {checker[0]} is not installed")
    command = [sys.executable, "-m", *checker, "examples"]
    done = run(command)
    assert done.returncode == 0, done.stdout + done.stderr
