"""The types that a user's type checker infers from the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNIPPET = """
from chuk_sessions import Health, SessionManager
from chuk_sessions.providers import memory, redis

factory = redis.factory("redis://localhost")
reveal_type(factory.backend.stats())
reveal_type(factory.backend.stats().last_error_at)

async def main() -> Health:
    async with factory() as session:
        reveal_type(session)
    async with memory.factory()() as emulated:
        reveal_type(emulated)
    return await SessionManager("app", factory).ping()
"""
REVEALED = [
    "chuk_sessions.backends.redis.stats.RedisStats",
    "datetime.datetime | None",
    "chuk_sessions.providers.redis.RedisSession",
    "chuk_sessions.providers.memory.MemorySession",
]


def test_factories_are_typed(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    arguments = ["--strict", "--config-file", "", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "snippet.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition("Revealed type is ")[2].strip('"') for line in done.stdout.splitlines() if "Reveal" in line]
    assert lines == REVEALED
