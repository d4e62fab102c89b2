"""Child processes of tests: Python programs that run in the checkout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT = 60.0


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child: without settings of this library, but with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSION_", "REDIS_", "CHUK_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program until it exits, and return what it printed. Variables are added to its environment."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


class Child:
    """A running program, whose output the test can wait for."""

    def __init__(self, command: list[str], output: Path, **variables: str) -> None:
        self.output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(**variables), stdout=file, stderr=subprocess.STDOUT
            )

    def printed(self) -> str:
        """Return its output so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed a text that often."""
        give_up = time.monotonic() + TIMEOUT
        while self.printed().count(text) < times:
            assert self.process.poll() is None or self.printed().count(text) >= times, self.printed()
            assert time.monotonic() < give_up, self.printed()
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Send it SIGINT, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for its exit, and return the exit code."""
        return self.process.wait(TIMEOUT)


@contextmanager
def running(*command: str, **variables: str) -> Iterator[Child]:
    """Run a command, and kill it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        child = Child(list(command), Path(folder) / "output", **variables)
        try:
            yield child
        finally:
            child.process.kill()
            child.process.wait()


@contextmanager
def running_python(code: str, *arguments: str, **variables: str) -> Iterator[Child]:
    """Run a program, and kill it at the end."""
    with running(sys.executable, "-c", code, *arguments, **variables) as child:
        yield child
