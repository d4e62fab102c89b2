"""The suite cache: reads with and without the local cache, redis-py's client-side cache, and the staleness after a
revocation by another process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import PEERS, ROOT
from benchmarks.harness.process import OURS, Sample, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.peers.cached_sessions import BATCH
from benchmarks.peers.worker import percentiles
from benchmarks.report.results import Results, Row
from tests.harness.servers import Server

CACHED, UNCACHED, REDIS_PY = "with the cache", "without", "redis-py's cache, blocking"
SECTION = "cache"
SESSIONS = 10_000
TRIALS = 100


class Batched:
    """A Worker whose calls are batches."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def supports(self, operation: str) -> bool:
        """Return whether the worker has that operation."""
        return self._worker.supports(operation)

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Measure batches, and return what single calls take on average within their batch."""
        sample = self._worker.measure(operation, callers, seconds)
        return replace(
            sample,
            calls=sample.calls * BATCH,
            p50=sample.p50 / BATCH,
            p99=sample.p99 / BATCH,
            p999=sample.p999 / BATCH,
        )


def measure(settings: RunSettings, results: Results) -> None:
    """Measure one caller and 100 callers, and then the staleness."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings.server))
        common: dict[str, Any] = {"url": server.url, "sessions": SESSIONS}
        ours: dict[str, Any] = {"program": "cached_sessions", "tree": ROOT, **common}
        workers = {
            UNCACHED: Worker(OURS, cache=False, sandbox="uncached", **ours),
            CACHED: Worker(OURS, cache=True, sandbox="cached", **ours),
        }
        if _has_redis_py_cache(server):
            workers[REDIS_PY] = Worker("redis-py", program="redis_py_cache", loop="asyncio", **common)
        peers = {name: Batched(worker) for name, worker in enter_all(stack, workers).items()}
        for callers in (1, 100):
            # Threads of a blocking client would only wait for each other.
            measured = {name: peer for name, peer in peers.items() if callers == 1 or name != REDIS_PY}
            for operation in ("validate", "load", "info", "metadata"):
                task = Task(SECTION, operation, callers)
                results.rows.append(measure_rounds(settings, task, measured))
        task = Task(SECTION, "cached_session", 1)
        results.rows.append(measure_rounds(settings, task, {CACHED: peers[CACHED]}))
        row = Row(SECTION, "time until a revocation by another process counts", "a task that only validates")
        row.samples[CACHED] = [_staleness(server.url) for _ in range(settings.rounds)]
        results.rows.append(row)


def _has_redis_py_cache(server: Server) -> bool:
    """Return whether redis-py caches with this server: it demands Redis 7.4, and refuses Valkey of any version."""
    with server.client() as client:
        version = client.info("server")["redis_version"]
    return tuple(map(int, version.split(".")[:2])) >= (7, 4)


def _staleness(url: str) -> Sample:
    done = subprocess.run(
        [str(environments.interpreter(OURS)), "-m", "benchmarks.peers.staleness", url, str(TRIALS)],
        cwd=PEERS, env=environments.environment_variables(ROOT), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    ms = [float(value) for value in json.loads(done.stdout)]
    print(f"staleness in ms: {sorted(ms)[-5:]}", file=sys.stderr)
    return Sample(
        len(ms), max(1e-9, sum(ms) / 1000), 0.0, **{name: value / 1000 for name, value in percentiles(ms).items()}
    )
