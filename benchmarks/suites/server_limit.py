"""The limit of the server, by its own benchmark program where that is installed."""

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
_FIRST = 20_000


class ServerBenchmark:
    """`redis-benchmark -c 10 -P 64` with one script on one session. Asked like a Worker."""

    def __init__(self, program: str, server: Server, workload: Path) -> None:
        self.peer = Path(program).name
        self._program = program
        self._server = server
        self._workload = json.loads(workload.read_text(encoding="utf-8"))
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""

    @property
    def about(self) -> dict[str, Any]:
        """See Worker."""
        words = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False).stdout
        return {"operations": [*self._workload], "version": words.split()[1] if len(words.split()) > 1 else ""}

    def can(self, operation: str) -> bool:
        """Whether that script can be sent again and again."""
        return operation in self._workload and not self._workload[operation]["fresh"]

    def ask(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure: for about that long, by what the run before did."""
        number = self._numbers.get(operation, _FIRST)
        rate = self._run(operation, number)
        self._numbers[operation] = max(_FIRST, round(rate * seconds))
        return Sample(number, number / rate, 0.0, 0.0, 0.0, 0.0)

    def _run(self, operation: str, number: int) -> float:
        work = self._workload[operation]
        keys, args = work["calls"][0]
        with self._server.client() as client:
            sha = client.script_load(work["script"])
        port = str(urlsplit(self._server.url).port)
        words = [self._program, "-h", "127.0.0.1", "-p", port, "-c", str(CONNECTIONS), "-P", str(DEPTH)]
        words += ["-n", str(number), "--csv", "EVALSHA", str(sha), str(len(keys)), *keys, *args]
        with cores.client(self.peer):
            out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rows = list(csv.DictReader(line for line in out.splitlines() if line.startswith('"')))
        return float(rows[-1]["rps"])


def found(server: Server, workload: Path) -> ServerBenchmark | None:
    """The program, if there is one."""
    for name in PROGRAMS:
        if program := shutil.which(name):
            return ServerBenchmark(program, server, workload)
    return None
