"""Servers on a core of their own, as if on another machine.

Left alone, the kernel puts a client and the server that it wakes on one core, where they take turns instead of working
at the same time: what is measured then is how they are placed. A process that is started inside of `server` or `client`
stays there with all its threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.servers import Server, running

THREADED = frozenset({"valkey-glide"})
"""Clients with threads of their own, which may use every core."""


def told() -> str:
    """How processes are placed."""
    cores = _cores()
    if len(cores) < 2:
        return "left to the kernel"
    return f"servers on core {cores[-1]}, clients on the others ({', '.join(sorted(THREADED))}: on all)"


@contextmanager
def server() -> Iterator[None]:
    """The last core."""
    with _on(_cores()[-1:]):
        yield


@contextmanager
def client(name: str) -> Iterator[None]:
    """All other cores, or all where the client has threads."""
    cores = _cores()
    with _on(cores if name in THREADED else cores[:-1]):
        yield


@contextmanager
def serving(binary: str | Path, *words: str) -> Iterator[Server]:
    """A server there."""
    with ExitStack() as stack:
        with server():
            started = stack.enter_context(running(binary, *words))
        yield started


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def _on(cores: list[int]) -> Iterator[None]:
    """Have this process there for a while; what it starts inherits that."""
    before = _cores()
    if len(before) < 2:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
