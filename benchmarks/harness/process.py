"""The parent's side of a peer's process: start it, send requests, read samples."""

from __future__ import annotations

import json
import subprocess
from contextlib import AbstractContextManager
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
"""Modules in `benchmarks.peers` by the name of the peer. Every other peer is a version of chuk-sessions."""

OURS = "chuk-sessions"
"""The name of this library in tables and charts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One peer's measurement in one round.

    Times are in seconds. `cpu` is that of the client's process, and `server_cpu` that of the server, if it was
    measured.
    """

    calls: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    p999: float
    server_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    @property
    def cpu_per_call(self) -> float:
        """Client CPU per call, in seconds."""
        return self.cpu / max(1, self.calls)

    @property
    def server_cpu_per_call(self) -> float:
        """Server CPU per call, in seconds."""
        return self.server_cpu / max(1, self.calls)


class Worker:
    """A running `benchmarks.peers.X` that measures on request. As a context manager, it stops the process on exit."""

    def __init__(
        self,
        peer: str,
        *,
        tree: Path | None = None,
        program: str = "",
        placement: AbstractContextManager[None] | None = None,
        **options: Any,
    ) -> None:
        module = f"benchmarks.peers.{program or PROGRAMS.get(peer, 'sessions')}"
        tree = tree or (ROOT if peer == OURS else None)
        options = {"loop": "uvloop", "sessions": 1000, "sandbox": "bench", **options}
        self.peer = peer
        with placement or cores.on_client_cores(peer):
            self._process = subprocess.Popen(
                [str(environments.interpreter(peer)), "-m", module, json.dumps(options)],
                cwd=PEERS,
                env=environments.environment_variables(tree),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._capabilities: dict[str, Any] | None = None

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
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def capabilities(self) -> dict[str, Any]:
        """The peer's first line: `operations`, `version`, and `imported_from`. Waits until the peer is ready."""
        if self._capabilities is None:
            self._capabilities = self._read_line()
        return self._capabilities

    def supports(self, operation: str) -> bool:
        """Return whether the peer has that operation."""
        return operation in self.capabilities["operations"]

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure an operation."""
        self.start_measuring(operation, callers, seconds)
        return self.sample()

    def start_measuring(self, operation: str, callers: int, seconds: float) -> None:
        """Send the request and return at once, so that several peers can measure at the same time."""
        assert self.capabilities
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"operation": operation, "callers": callers, "seconds": seconds}) + "\n")
        self._process.stdin.flush()

    def sample(self) -> Sample:
        """Wait for the measurement, and return it."""
        return Sample(**self._read_line())

    def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the program of {self.peer} ended with exit status {self._process.wait()}")
        message: dict[str, Any] = json.loads(line)
        return message
