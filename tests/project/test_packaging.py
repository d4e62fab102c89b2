"""Wheel and source distribution: both contain the scripts, and the wheel works without the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from chuk_sessions.core.operations import SCRIPTED

ROOT = Path(__file__).parents[2]
NEEDED = {f"{name}.lua" for name in SCRIPTED} | {"include/now.lua", "include/open.lua"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build both distributions, the wheel from the source distribution, and return their folder."""
    source, out = tmp_path_factory.mktemp("source") / "checkout", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", ".peers"))
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(source)], check=True, capture_output=True, text=True
    )
    return out


def test_the_source_distribution_has_the_files_that_a_build_needs(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"lua/{name}" for name in NEEDED} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "chuk_sessions/py.typed"} <= names


def test_the_wheel_has_scripts_and_types(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        commands = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {f"chuk_sessions/_lua/{name}" for name in NEEDED} <= names
    assert "chuk_sessions/py.typed" in names
    assert "chuk-sessions = chuk_sessions.cli:main" in commands
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "lua/"))]


def test_the_wheel_works_alone_and_finds_its_scripts(built, tmp_path):
    wheel = next(built.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    code = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import chuk_sessions
from chuk_sessions import SessionManager
from chuk_sessions.backends.redis.scripts import folder, load
assert chuk_sessions.__file__.startswith(sys.argv[1]), chuk_sessions.__file__
async def main():
    manager = SessionManager("test")
    return await manager.validate_session(await manager.allocate_session())
print(asyncio.run(main()), str(folder()).startswith(sys.argv[1]), len(load()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["True", "True", str(len(SCRIPTED))]
