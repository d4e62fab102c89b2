"""What is compared with itself, under other conditions, and the emulator."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.harness import cores
from benchmarks.harness.cores import serving
from benchmarks.harness.environments import OLDEST, PUBLISHED
from benchmarks.harness.process import OURS, Sample, Worker
from benchmarks.harness.rounds import Settings, Task, case, enter, take_turns
from benchmarks.report.results import Memory, Results, Row
from benchmarks.suites import client_profile, memory
from tests.harness.farms.cluster import cluster_farm

from .server_cpu import WORK as SPENDING
from .server_cpu import Spender

EMULATED = ("allocate", "validate", "read", "merge", "extend", "delete", "get", "setex", "remove")
WHOLE = ("count", "count_user", "list_user")
SIZES = {"0.1 kB": 100, "1 kB": 1_000, "10 kB": 10_000, "100 kB": 100_000}
HOT = ("validate", "read", "merge")
MEMORY_SESSIONS = 50_000
"""How full the server's tables are matters: the figure holds for this number."""
SMALL, LARGE, HUGE = 1_000, 100_000, 1_000_000


def measure_emulator(settings: Settings, results: Results) -> None:
    """The emulator beside the published memory provider, one caller; and grid paths."""
    with ExitStack() as stack:
        names = (OURS, f"chuk-sessions-{PUBLISHED}", f"chuk-sessions-{OLDEST}")
        peers = enter(stack, {name: Worker(name, url="memory") for name in names})
        tasks = [Task("emulator", work, 0) for work in EMULATED]
        tasks += [Task("grid", work, 0) for work in ("grid", "grid_parse")]
        results.rows += [take_turns(settings, task, peers) for task in tasks]


def measure_processes(settings: Settings, results: Results) -> None:
    """1, 2 and 4 client processes at once, 100 callers each."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(settings.server))
        workers = [stack.enter_context(Worker(OURS, url=server.url, sandbox=f"p{number}")) for number in range(4)]
        row = Row("processes", "validate", case(100))
        for _ in range(settings.rounds):
            for number in (1, 2, 4):
                row.samples.setdefault(f"{number}", []).append(_at_once(workers[:number], settings.seconds))
        results.rows.append(row)


def _at_once(workers: list[Worker], seconds: float) -> Sample:
    for worker in workers:
        assert worker.about
        worker.begin("validate", 100, seconds)
    done = [worker.end() for worker in workers]
    slowest = max(done, key=lambda sample: sample.p99)
    calls, cpu = sum(sample.calls for sample in done), sum(sample.cpu for sample in done)
    return Sample(calls, max(sample.seconds for sample in done), cpu, slowest.p50, slowest.p99, slowest.p999)


def measure_growth(settings: Settings, results: Results) -> None:
    """The same work among more and more live sessions, each number of them on a server of its own."""
    numbers = (SMALL, LARGE, HUGE) if settings.long else (SMALL, LARGE)
    with ExitStack() as stack:
        servers = {number: stack.enter_context(serving(settings.server)) for number in numbers}
        made = {f"{n:,}": Worker(OURS, url=server.url, sessions=n) for n, server in servers.items()}
        peers = enter(stack, made)
        for work in ("allocate", *HOT, "increment", "extend", "delete"):
            results.rows.append(take_turns(settings, Task("growth", work, 100), peers))


def measure_spent(settings: Settings, results: Results) -> None:
    """The server's own CPU, among few and among many sessions."""
    with ExitStack() as stack:
        servers = {number: stack.enter_context(serving(settings.server)) for number in (SMALL, LARGE)}
        peers = {f"{number:,} sessions": Spender(server, number) for number, server in servers.items()}
        results.rows += [take_turns(settings, Task("spent", work, 0), peers) for work in SPENDING]


def measure_pieces(settings: Settings, results: Results) -> None:
    """What a call costs the client, piece by piece."""
    print("pieces", file=sys.stderr)
    with cores.client(OURS):
        found = client_profile.measure(settings)
    results.rows += [Row("pieces", name, "hot loop", {OURS: samples}) for name, samples in found.items()]


def measure_metadata(settings: Settings, results: Results) -> None:
    """Sessions with more and more metadata."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(settings.server))
        made = {
            name: Worker(OURS, url=server.url, sessions=200, metadata=size, sandbox=f"m{size}")
            for name, size in SIZES.items()
        }
        peers = enter(stack, made)
        results.rows += [take_turns(settings, Task("metadata", work, 100), peers) for work in HOT]


def measure_whole(settings: Settings, results: Results) -> None:
    """What asks all 256 buckets, with 1,000 and with 100,000 sessions in the sandbox, 10 of them or 1,000 a user's."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(settings.server))
        numbers = (SMALL, LARGE) if settings.long else (SMALL, 10 * SMALL)
        made = {f"{n:,}": Worker(OURS, url=server.url, sessions=n, sandbox=f"w{n}") for n in numbers}
        peers = enter(stack, made)
        results.rows += [take_turns(settings, Task("whole", work, 1), peers) for work in WHOLE]


def measure_cluster(settings: Settings, results: Results) -> None:
    """A cluster of three beside one node."""
    with ExitStack() as stack:
        one = stack.enter_context(serving(settings.server))
        with cores.server():
            farm = stack.enter_context(cluster_farm(settings.server, replicas=False))
        peers = enter(stack, {"one node": Worker(OURS, url=one.url), "three nodes": Worker(OURS, url=farm.url)})
        tasks = [Task("cluster", work, callers) for work in HOT for callers in (100, 1000)]
        for task in tasks:
            results.rows.append(take_turns(settings, task, peers))
        results.facts["calls per node of the cluster"] = ", ".join(
            f"{member.info('stats')['total_commands_processed']:,}" for member in farm.members
        )


def measure_memory(settings: Settings, results: Results) -> None:
    """The server's memory for a session."""
    print("memory", file=sys.stderr)
    with serving(settings.server) as server:
        found = memory.figures(server, MEMORY_SESSIONS)
        results.memory += [Memory(f"{title}, {MEMORY_SESSIONS:,} sessions", *sizes) for title, *sizes in found]
