"""CPU placement: servers on a core of their own, as if they ran on another machine.

Without this, the kernel tends to put a client and the server that it wakes on one core, where they alternate instead of
running at the same time. The benchmark would then measure the placement. A process that starts inside
`on_server_core` or `on_client_cores` keeps that placement, with all its threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.servers import Server, running

MULTITHREADED = frozenset({"valkey-glide"})
"""Clients with threads of their own, which may use every core."""


def describe_placement() -> str:
    """Describe the placement of processes, for the report."""
    cores = _cores()
    if len(cores) < 2:
        return "left to the kernel"
    return f"servers on core {cores[-1]}, clients on the others ({', '.join(sorted(MULTITHREADED))}: on all)"


@contextmanager
def on_server_core() -> Iterator[None]:
    """Start processes on the last core."""
    with _pinned_to(_cores()[-1:]):
        yield


@contextmanager
def on_client_cores(name: str) -> Iterator[None]:
    """Start processes on all cores but the last, or on all cores if the client of that name has threads."""
    cores = _cores()
    with _pinned_to(cores if name in MULTITHREADED else cores[:-1]):
        yield


@contextmanager
def running_server(binary: str | Path, *arguments: str) -> Iterator[Server]:
    """Run a server on its core."""
    with ExitStack() as stack:
        with on_server_core():
            server = stack.enter_context(running(binary, *arguments))
        yield server


def place(servers: Sequence[int], clients: Sequence[int]) -> None:
    """Give each of these processes a core of its own if there are enough; else leave their placement to the kernel.

    Threads that a process has started before keep their placement.
    """
    cores = _cores()
    if len(cores) >= len(servers) + len(clients):
        pairs = [*zip(clients, cores, strict=False), *zip(servers, reversed(cores), strict=False)]
        for pid, core in pairs:
            os.sched_setaffinity(pid, [core])
    elif len(cores) > 1:
        for pid in (*servers, *clients):
            os.sched_setaffinity(pid, cores)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def _pinned_to(cores: list[int]) -> Iterator[None]:
    """Pin this process to some cores. Its children inherit that. With fewer than two cores, do nothing."""
    before = _cores()
    if len(before) < 2:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
