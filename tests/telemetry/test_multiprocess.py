"""Prometheus's multiprocess mode: the counts of all processes are in one scrape."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.harness.servers import Server

WORKER = """
import asyncio, sys
from prometheus_client import REGISTRY
from chuk_sessions import SessionManager
from chuk_sessions.cache import LocalCache
from chuk_sessions.providers import redis
from chuk_sessions.telemetry import prometheus_collector

async def work():
    factory = redis.factory(sys.argv[1])
    other = SessionManager("other", factory, local_cache=LocalCache(max_staleness_seconds=2))
    cached = SessionManager("multi", factory, local_cache=LocalCache(max_staleness_seconds=2))
    async with other, cached as manager:
        REGISTRY.register(prometheus_collector(manager))
        prometheus_collector(manager)
        session_id = await manager.allocate_session()
        for _ in range(10):
            await manager.validate_session(session_id)
        await manager.delete_session(session_id)
        assert not [metric for metric in REGISTRY.collect() if metric.name.startswith("chuk_sessions_")]

asyncio.run(work())
"""


def test_one_scrape_has_the_counts_of_all_processes(server: Server, tmp_path: Path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, server.url], env=environment) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"chuk_sessions_{name}", labels)

    assert value("calls_total", operation="validate", outcome="ok") == 20
    assert value("calls_total", operation="validate", outcome="timeout") == 0
    assert value("call_duration_seconds_count", operation="validate") == 20
    assert value("sessions_ended_total", reason="deleted") == 2
    assert value("connections") is not None
    assert value("reconnects_total") == 0
    assert value("cache_max_staleness_seconds") == 2


BUSY = """
import asyncio, sys
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
from chuk_sessions.telemetry import prometheus_collector

registry = CollectorRegistry()
MultiProcessCollector(registry)

def in_flight():
    return registry.get_sample_value("chuk_sessions_calls_in_flight")

async def work():
    async with SessionManager("multi", redis.factory(sys.argv[1])) as manager:
        session_id = await manager.allocate_session()
        REGISTRY.register(prometheus_collector(manager))
        # So many that the first reply, with which gauges are copied, does not arrive with the last one.
        await asyncio.gather(*[manager.validate_session(session_id) for _ in range(5000)])
        assert in_flight() > 0
        async with asyncio.timeout(30):
            while in_flight() > 0:
                await asyncio.sleep(0.05)

asyncio.run(work())
"""


def test_gauges_of_a_process_that_has_become_idle_return_to_zero(server: Server, tmp_path: Path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", BUSY, server.url], env=environment, check=True)
