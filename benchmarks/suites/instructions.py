"""The suite instructions: the instructions that a server executes per call, counted by callgrind.

    python benchmarks/suites/instructions.py [--server PATH] [--only allocate,extend]

Needs valgrind. The calls are those of the suite server_cpu. Other jobs on the machine do not change the counts, so they
compare two versions of a script where times cannot. They say nothing about caches and system calls.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.suites import server_cpu
from tests.harness.ports import free_port
from tests.harness.servers import Server, launch, valkey_binary

SESSIONS = 1000


class Counter:
    """A server under callgrind, and the dumps that it writes to a folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._calls = server_cpu.ServerCpu(server, SESSIONS)

    def count(self, operation: str) -> float:
        """Return the instructions per call."""
        packed, calls = self._calls.prepare(operation)
        self._control("--zero")
        self._calls.send(packed)
        before = set(self._folder.iterdir())
        self._control("--dump=calls")
        return self._total(before) / calls

    def _control(self, argument: str) -> None:
        assert self._server.process is not None
        command = ["callgrind_control", argument, str(self._server.process.pid)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _total(self, before: set[Path]) -> int:
        """Return the total of the dump that the server writes."""
        while True:
            for path in set(self._folder.iterdir()) - before:
                found = re.search(r"^(?:summary|totals): (\d+)$", path.read_text(), re.M)
                if found:
                    return int(found[1])
            time.sleep(0.05)


@contextmanager
def running_counter(binary: str) -> Iterator[Counter]:
    """Start a server under callgrind, and stop it afterwards."""
    with tempfile.TemporaryDirectory() as name:
        port, folder = free_port(), Path(name)
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts"]
        options = ["--port", str(port), "--save", "", "--dir", name, "--logfile", f"{folder}/log"]
        server = launch(Server(f"redis://127.0.0.1:{port}", port, folder, command=[*valgrind, binary, *options]))
        try:
            yield Counter(server, folder)
        finally:
            server.stop()


def main() -> None:
    """Count, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--only", default=",".join(server_cpu.OPERATIONS), help="operations of the suite server_cpu")
    options = parser.parse_args()
    with running_counter(options.server) as counter:
        for operation in options.only.split(","):
            print(f"{operation:14} {counter.count(operation):10,.0f}", flush=True)


if __name__ == "__main__":
    main()
