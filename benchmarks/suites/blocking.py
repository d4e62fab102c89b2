"""The suite blocking: synchronous code, with this library's own manager and with redis-py's blocking EVALSHA.

All send the same scripts with the same arguments to one server.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.harness import workload
from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import ROOT
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Results

CASES = (("validate", 1), ("validate", 16), ("read", 1), ("read", 16), ("merge", 1), ("merge", 16))
BLOCKING = "blocking"
PLAIN_HOP = "run_coroutine_threadsafe"
"""The name of the peer that calls asynchronous code from threads in the plain way."""


def measure(settings: RunSettings, results: Results) -> None:
    """Measure 1 and 16 threads."""
    with running_server(settings.server) as server, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        calls = str(workload.write(server.url, Path(folder) / "workload.json"))
        ours: dict[str, Any] = {"program": "blocking_sessions", "tree": ROOT, "url": server.url}
        workers = {
            OURS: Worker(OURS, sandbox="blocking", **ours),
            "redis-py": Worker("redis-py", program="blocking_redis_py", url=server.url, workload=calls),
            PLAIN_HOP: Worker(PLAIN_HOP, sandbox="plain", hop="plain", **ours),
        }
        peers = enter_all(stack, workers)
        results.facts["redis-py"] = peers["redis-py"].capabilities["version"]
        results.rows += [
            measure_rounds(settings, Task("sync", operation, callers, BLOCKING), peers) for operation, callers in CASES
        ]
