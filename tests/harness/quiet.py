"""Turns of concurrent test processes: a test with the marker `quiet` runs alone.

`make test` runs several processes of pytest in this checkout: workers, and one Python beside another. They would affect
tests that measure the time or the CPU time of something short.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = Path(__file__).parents[2] / ".venv" / "tests.lock"
_GATE, _TURN = 0, 1
"""Bytes of the file. Locks of bytes end with their process, and child processes do not inherit them."""

_IS_NESTED = "PYTEST_CURRENT_TEST" in os.environ
"""Whether a test started this process of pytest. Its tests run in the turn of that test: turns of their own could wait
for it.
"""


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait for a turn and keep it in the context: together with other tests, or alone."""
    if _IS_NESTED:
        yield
        return
    _FILE.parent.mkdir(exist_ok=True)
    with _FILE.open("a+b") as file:
        # A test that wants to be alone closes the gate while the others finish. None starts after it asked.
        _lock(file.fileno(), fcntl.LOCK_EX, _GATE)
        _lock(file.fileno(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, _TURN)
        _lock(file.fileno(), fcntl.LOCK_UN, _GATE)
        yield


def _lock(file: int, kind: int, byte: int) -> None:
    fcntl.lockf(file, kind, 1, byte)
