"""A peer's process, seen from here."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.harness import cores, environments

from .environments import PEERS, ROOT

PROGRAMS = {
    "redis-py": "redis_py",
    "coredis": "coredis_pool",
    "valkey-glide": "glide_client",
    "starsessions": "starsessions_store",
    "raw": "raw",
}
"""Peers by name with their modules; every other one is a chuk-sessions."""

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one peer did in one round. Times are seconds; `cpu` is of the client's process."""

    calls: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    @property
    def cpu_per_call(self) -> float:
        """Client CPU per call, in seconds."""
        return self.cpu / max(1, self.calls)


class Worker:
    """Starts `benchmarks.peers.X` and asks it. Closed by leaving it as a context manager."""

    def __init__(self, peer: str, *, tree: Path | None = None, **options: Any) -> None:
        module = f"benchmarks.peers.{PROGRAMS.get(peer, 'sessions')}"
        ours = tree or (ROOT if peer == OURS else None)
        options = {"loop": "uvloop", "sessions": 1000, "sandbox": "bench", **options}
        self.peer = peer
        with cores.client(peer):
            self._process = subprocess.Popen(
                [str(environments.python(peer)), "-m", module, json.dumps(options)],
                cwd=PEERS,
                env=environments.variables(ours),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._about: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def about(self) -> dict[str, Any]:
        """What it can do, once it is ready: `operations` and `version`."""
        if self._about is None:
            self._about = self._line()
        return self._about

    def can(self, operation: str) -> bool:
        """Whether it has that operation."""
        return operation in self.about["operations"]

    def ask(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure."""
        self.begin(operation, callers, seconds)
        return self.end()

    def begin(self, operation: str, callers: int, seconds: float) -> None:
        """Let it measure, and do not wait."""
        assert self.about
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"operation": operation, "callers": callers, "seconds": seconds}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Sample:
        """What it measured."""
        return Sample(**self._line())

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the program of {self.peer} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
