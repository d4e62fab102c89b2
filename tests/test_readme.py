"""The README: every Python block runs, on the emulator and on a server, and its tables are true."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chuk_sessions import SessionManager, keys, operations

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


@pytest.fixture(params=["memory", "redis"])
def provider(request, monkeypatch, tmp_path):
    """The environment that a reader would set."""
    monkeypatch.setenv("SESSION_PROVIDER", request.param)
    monkeypatch.delenv("CHUK_SANDBOX_ID", raising=False)
    if request.param == "redis":
        server = request.getfixturevalue("server")
        monkeypatch.setenv("SESSION_REDIS_URL", server.url)
        monkeypatch.setenv("REDIS_URL", server.url)


def run(block: str) -> None:
    """Run a block as a module, with `await` at its top level allowed."""
    code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace: dict[str, object] = {"__name__": "readme"}
    if code.co_flags & inspect.CO_COROUTINE:

        async def run_in_loop() -> None:
            await eval(code, namespace)

        asyncio.run(run_in_loop())
    else:
        exec(code, namespace)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[0][:40])
@pytest.mark.usefixtures("provider")
def test_blocks_run(block):
    run(block)


def test_there_are_blocks():
    assert len(BLOCKS) >= 6


@pytest.mark.usefixtures("provider")
def test_the_demo_says_what_happens():
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples/quickstart.py"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "user:123 holds alice" in done.stdout
    assert "request refused, count: 2" in done.stdout
    assert "the old id is valid: False" in done.stdout


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_operations_table_names_all_operations_and_real_methods():
    rows = table("Operations")
    assert [row[0].strip("`") for row in rows] == list(operations.ALL)
    methods = {name for row in rows for name in re.findall(r"`(\w+)\(", row[1])}
    assert methods
    assert all(hasattr(SessionManager, name) for name in methods)


def test_the_keys_table_is_what_the_code_makes():
    place = keys.place("SANDBOX", "HANDLE")
    made = {place.record, place.operations, place.at.deadlines, place.at.users, place.at.sandboxes}
    told = {row[0].strip("`").replace("{T}", f"{{{keys.tag(place.at.bucket)}}}") for row in table("Keys")}
    assert told == made


def test_commands_in_the_readme_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets
    for path in re.findall(r"python ((?:benchmarks|examples)/\w+\.py)", README):
        assert (ROOT / path).is_file()
