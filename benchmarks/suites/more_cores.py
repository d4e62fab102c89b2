"""The suite cores: calls per second with more cluster nodes and client processes, and the limit of one event loop.

Each node and each client process gets a core of its own if there are enough. Otherwise the kernel places them, and
calls per second grow only as far as the cores allow. The CPU per call then shows whether a call costs more with more of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.harness import cores
from benchmarks.harness.cores import running_server
from benchmarks.harness.process import OURS, Sample, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Results
from tests.harness.farms.cluster import ClusterFarm, cluster_farm

CALLERS = 100
OPERATIONS = ("validate", "read", "get")
LOOPS = ("uvloop", "asyncio")
LOOP_CASES = (("validate", 1), ("validate", 10), ("validate", 100), ("validate", 1000), ("read", 1000), ("get", 1000))


@dataclass(frozen=True, slots=True)
class Condition:
    """A cluster and some client processes. It measures like a Worker, with all processes at the same time."""

    farm: ClusterFarm
    workers: Sequence[Worker]

    def supports(self, operation: str) -> bool:
        """Return whether the client has that operation."""
        return all(worker.supports(operation) for worker in self.workers)

    def measure(self, operation: str, callers: int, seconds: float) -> Sample:
        """Place nodes and processes, and measure. Each process has that many callers."""
        nodes = [member.server.process.pid for member in self.farm.members if member.server.process]
        cores.place(nodes, [worker.pid for worker in self.workers])
        for worker in self.workers:
            worker.start_measuring(operation, callers, seconds)
        return together([worker.sample() for worker in self.workers])


def together(samples: Sequence[Sample]) -> Sample:
    """Return one sample for processes that have measured at the same time. Its latencies are those of the slowest."""
    slowest = max(samples, key=lambda sample: sample.p99)
    return Sample(
        sum(sample.calls for sample in samples),
        max(sample.seconds for sample in samples),
        sum(sample.cpu for sample in samples),
        slowest.p50,
        slowest.p99,
        slowest.p999,
        max(sample.server_cpu for sample in samples),
    )


def measure(settings: RunSettings, results: Results) -> None:
    """Measure all combinations of nodes and processes, and one event loop with more and more callers."""
    with ExitStack() as stack:
        conditions: dict[str, Condition] = {}
        for nodes in settings.nodes:
            farm = stack.enter_context(cluster_farm(settings.server, primaries=nodes, replicas=False))
            workers = _workers(stack, farm, max(settings.processes))
            conditions |= {f"{nodes} × {number}": Condition(farm, workers[:number]) for number in settings.processes}
        for operation in OPERATIONS:
            results.rows.append(measure_rounds(settings, Task("cores", operation, CALLERS), conditions))
        for condition in conditions.values():
            calls = [member.info("stats")["total_commands_processed"] for member in condition.farm.members]
            results.facts[f"share of the busiest of {len(calls)} nodes"] = f"{max(calls) / sum(calls):.3f}"
    _measure_event_loop(settings, results)


def _workers(stack: ExitStack, farm: ClusterFarm, number: int) -> list[Worker]:
    ports = [member.port for member in farm.members]
    return [
        stack.enter_context(Worker(OURS, url=farm.url, sandbox=f"process{process}", servers=ports))
        for process in range(number)
    ]


def _measure_event_loop(settings: RunSettings, results: Results) -> None:
    with running_server(settings.server) as server, ExitStack() as stack:
        workers = {loop: Worker(OURS, url=server.url, loop=loop, sandbox=loop, servers=[server.port]) for loop in LOOPS}
        peers = enter_all(stack, workers)
        for operation, callers in LOOP_CASES:
            task = Task("event_loop", operation, callers, "one process")
            results.rows.append(measure_rounds(settings, task, peers))
