"""The server's limit, as its own benchmark program measures it, if that program is installed."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.harness import cores
from benchmarks.harness.process import Sample
from tests.harness.servers import Server

PROGRAMS = ("valkey-benchmark", "redis-benchmark")
CONNECTIONS = 10
DEPTH = 64
_FEWEST_CALLS = 20_000


class ServerBenchmark:
    """`redis-benchmark -c 10 -P 64`, which runs one script on one session. It measures like a Worker."""

    def __init__(self, program: str, server: Server, workload: Path) -> None:
        self.peer = Path(program).name
        self._program = program
        self._server = server
        self._workload = json.loads(workload.read_text(encoding="utf-8"))
        self._calls: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing, because nothing stays open."""

    @property
    def capabilities(self) -> dict[str, Any]:
        """The operations and the program's version, as a Worker's."""
        words = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False).stdout.split()
        return {"operations": [*self._workload], "version": words[1] if len(words) > 1 else ""}

    def supports(self, operation: str) -> bool:
        """Return whether the same call of that script can run many times."""
        return operation in self._workload and not self._workload[operation]["single_use"]

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Run the program for about that many seconds, judged by the rate of its last run."""
        calls = self._calls.get(operation, _FEWEST_CALLS)
        rate = self._run(operation, calls)
        self._calls[operation] = max(_FEWEST_CALLS, round(rate * seconds))
        return Sample(calls, calls / rate, 0.0, 0.0, 0.0, 0.0)

    def _run(self, operation: str, calls: int) -> float:
        """Return the calls per second that the program reports."""
        entry = self._workload[operation]
        keys, args = entry["calls"][0]
        with self._server.client() as client:
            sha = client.script_load(entry["script"])
        port = str(urlsplit(self._server.url).port)
        command = [self._program, "-h", "127.0.0.1", "-p", port, "-c", str(CONNECTIONS), "-P", str(DEPTH)]
        command += ["-n", str(calls), "--csv", "EVALSHA", str(sha), str(len(keys)), *keys, *args]
        with cores.on_client_cores(self.peer):
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = list(csv.DictReader(line for line in output.splitlines() if line.startswith('"')))
        return float(rows[-1]["rps"])


def find(server: Server, workload: Path) -> ServerBenchmark | None:
    """Return the first program of PROGRAMS that is installed, or None."""
    for name in PROGRAMS:
        if program := shutil.which(name):
            return ServerBenchmark(program, server, workload)
    return None
