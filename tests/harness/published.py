"""The published package, chuk-sessions 0.6.3, in processes of its own. Tests of the migration talk to them.

The wheel is installed once, in a folder of the virtual environment, without its dependencies, which the tests have.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.harness.children import environment

VERSION = "0.6.3"
HOME = Path(sys.prefix) / "published" / VERSION

PROGRAM = """
import asyncio, json, sys
from contextlib import asynccontextmanager
import chuk_sessions
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis

def main():
    url, sandbox = sys.argv[1:]
    manager = SessionManager(sandbox, redis.factory(url))
    loop = asyncio.new_event_loop()
    async def many(number, options):
        data = [{"n": n, "cart": [n, "x" * 50]} for n in range(number)]
        own_factory = manager.session_factory
        async with own_factory() as session:
            @asynccontextmanager
            async def one_connection():
                # The factory would open a connection for each session, which takes most of the time.
                yield session
            manager.session_factory = one_connection
            try:
                return [await manager.allocate_session(user_id=f"user{one['n'] % 97}", custom_metadata=one, **options)
                        for one in data]
            finally:
                manager.session_factory = own_factory
    print(json.dumps(chuk_sessions.__file__), flush=True)
    for line in sys.stdin:
        name, args, options = json.loads(line)
        work = many(*args, options) if name == "many" else getattr(manager, name)(*args, **options)
        print(json.dumps(loop.run_until_complete(work)), flush=True)

main()
"""


class OldProcess:
    """A process of the published package. Like each of them, it has a cache."""

    def __init__(self, url: str, sandbox: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, sandbox],
            cwd=HOME,
            env={**environment(), "PYTHONPATH": str(installed())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert str(HOME) in self._reply()

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of its SessionManager. `many` creates a number of sessions."""
        assert self._process.stdin is not None
        print(json.dumps([method, args, options]), file=self._process.stdin, flush=True)
        return self._reply()

    def stop(self) -> None:
        """Stop the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def old_process(url: str, sandbox: str = "web") -> Iterator[OldProcess]:
    """Run a process of the published package."""
    process = OldProcess(url, sandbox)
    try:
        yield process
    finally:
        process.stop()


@cache
def installed() -> Path:
    """Return the folder of the package. If it cannot be installed, skip the test; in CI, fail."""
    if not HOME.exists():
        HOME.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=HOME.parent))
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--target", str(folder), f"chuk-sessions=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            _missing(f"chuk-sessions {VERSION} cannot be installed: {done.stderr[-300:]}")
        try:
            folder.rename(HOME)
        except OSError:
            # Another process of the tests was faster.
            shutil.rmtree(folder)
    return HOME


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
