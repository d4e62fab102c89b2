"""The suite conditions: this library under different conditions, and the emulator."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.harness import cores
from benchmarks.harness.cores import running_server
from benchmarks.harness.environments import OLDEST, PUBLISHED
from benchmarks.harness.process import OURS, Worker
from benchmarks.harness.rounds import RunSettings, Task, enter_all, measure_rounds
from benchmarks.report.results import Memory, Results, Row
from benchmarks.suites import client_profile, memory
from tests.harness.farms.cluster import cluster_farm

from .server_cpu import OPERATIONS as SERVER_CPU_OPERATIONS
from .server_cpu import ServerCpu

EMULATOR_OPERATIONS = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex", "remove")
LIST_OPERATIONS = ("count", "count_user", "list_user")
SIZES = {"0.1 kB": 100, "1 kB": 1_000, "10 kB": 10_000, "100 kB": 100_000}
COMMON_OPERATIONS = ("validate", "read", "merge")
GROWTH_OPERATIONS = ("allocate", *COMMON_OPERATIONS, "load", "increment", "extend", "delete")
MEMORY_SESSIONS = 50_000
"""The figures hold for this number only, because they depend on how full the server's tables are."""
SMALL, LARGE, HUGE = 1_000, 100_000, 1_000_000


def measure_emulator(settings: RunSettings, results: Results) -> None:
    """Measure the emulator and the published memory provider with one caller, and grid paths."""
    with ExitStack() as stack:
        names = (OURS, f"chuk-sessions-{PUBLISHED}", f"chuk-sessions-{OLDEST}")
        peers = enter_all(stack, {name: Worker(name, url="memory") for name in names})
        tasks = [Task("emulator", operation, 0) for operation in EMULATOR_OPERATIONS]
        tasks += [Task("grid", operation, 0) for operation in ("grid", "grid_parse")]
        results.rows += [measure_rounds(settings, task, peers) for task in tasks]


def measure_growth(settings: RunSettings, results: Results) -> None:
    """Measure the same operations among different numbers of live sessions, each number on a server of its own."""
    numbers = (SMALL, LARGE, HUGE) if settings.long else (SMALL, LARGE)
    with ExitStack() as stack:
        servers = {number: stack.enter_context(running_server(settings.server)) for number in numbers}
        workers = {
            f"{n:,}": Worker(OURS, url=server.url, sessions=n, servers=[server.port]) for n, server in servers.items()
        }
        peers = enter_all(stack, workers)
        for operation in GROWTH_OPERATIONS:
            results.rows.append(measure_rounds(settings, Task("growth", operation, 100), peers))


def measure_server_cpu(settings: RunSettings, results: Results) -> None:
    """Measure the server's own CPU, among few and among many sessions."""
    with ExitStack() as stack:
        servers = {number: stack.enter_context(running_server(settings.server)) for number in (SMALL, LARGE)}
        peers = {f"{number:,} sessions": ServerCpu(server, number) for number, server in servers.items()}
        results.rows += [
            measure_rounds(settings, Task("server_cpu", operation, 0), peers) for operation in SERVER_CPU_OPERATIONS
        ]


def measure_client_profile(settings: RunSettings, results: Results) -> None:
    """Measure the client's CPU per step of a call."""
    print("client_profile", file=sys.stderr)
    with cores.on_client_cores(OURS):
        steps = client_profile.measure(settings)
    results.rows += [Row("client_profile", name, "hot loop", {OURS: samples}) for name, samples in steps.items()]


def measure_metadata(settings: RunSettings, results: Results) -> None:
    """Measure sessions with different amounts of metadata."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings.server))
        workers = {
            name: Worker(OURS, url=server.url, sessions=200, metadata=size, sandbox=f"m{size}")
            for name, size in SIZES.items()
        }
        peers = enter_all(stack, workers)
        results.rows += [
            measure_rounds(settings, Task("metadata", operation, 100), peers) for operation in COMMON_OPERATIONS
        ]


def measure_lists(settings: RunSettings, results: Results) -> None:
    """Measure a count of all sessions, which queries all 256 buckets, and a count and a list of one user's sessions.

    The sandboxes have 1,000 and 10,000 sessions (long: 100,000). One in a hundred sessions belongs to the same user.
    """
    with ExitStack() as stack:
        server = stack.enter_context(running_server(settings.server))
        numbers = (SMALL, LARGE) if settings.long else (SMALL, 10 * SMALL)
        workers = {f"{n:,}": Worker(OURS, url=server.url, sessions=n, sandbox=f"w{n}") for n in numbers}
        peers = enter_all(stack, workers)
        results.rows += [measure_rounds(settings, Task("lists", operation, 1), peers) for operation in LIST_OPERATIONS]


def measure_cluster(settings: RunSettings, results: Results) -> None:
    """Compare a cluster of three nodes with a single node."""
    with ExitStack() as stack:
        node = stack.enter_context(running_server(settings.server))
        with cores.on_server_core():
            farm = stack.enter_context(cluster_farm(settings.server, replicas=False))
        peers = enter_all(stack, {"one node": Worker(OURS, url=node.url), "three nodes": Worker(OURS, url=farm.url)})
        tasks = [Task("cluster", operation, callers) for operation in COMMON_OPERATIONS for callers in (100, 1000)]
        for task in tasks:
            results.rows.append(measure_rounds(settings, task, peers))
        results.facts["calls per node of the cluster"] = ", ".join(
            f"{member.info('stats')['total_commands_processed']:,}" for member in farm.members
        )


def measure_memory(settings: RunSettings, results: Results) -> None:
    """Measure the server's memory per session."""
    print("memory", file=sys.stderr)
    with running_server(settings.server) as server:
        figures = memory.bytes_per_session(server, MEMORY_SESSIONS)
        results.memory += [Memory(f"{title}, {MEMORY_SESSIONS:,} sessions", *sizes) for title, *sizes in figures]
