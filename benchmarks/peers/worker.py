"""What every peer's program has in common: it measures what it is asked to, one line of JSON in, one line out.

The first line out says what the peer can do. A request names an operation, callers and seconds, and the answer has
calls, seconds, CPU seconds of the process and latencies. Nothing here needs more than Python: peers run it in
environments of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

Calls = Iterator[Awaitable[Any]]
Answer = dict[str, Any]

CHUNK = 500
WARM_UP = 0.1
"""Seconds for which each operation runs before it is first measured."""


class Peer:
    """A client. Subclasses have a method for each operation, listed in `operations`, that gives calls to await."""

    operations: tuple[str, ...] = ()
    package = ""
    """What is measured: its version is told with the results."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    async def start(self) -> None:
        """Connect, and make what the operations work on."""

    async def stop(self) -> None:
        """Close."""

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """Make what a measurement of that length uses up."""

    def calls(self, operation: str) -> Calls:
        """Calls of that operation, made one by one as callers ask for them."""
        calls: Calls = getattr(self, operation)()
        return calls


async def measure(peer: Peer, operation: str, callers: int, seconds: float) -> Answer:
    """Let so many callers call one after another for so long. With 0 callers there is one, and the clock is read once
    in many calls: for what takes less time than reading the clock.
    """
    await peer.prepare(operation, callers, seconds)
    calls, latencies = peer.calls(operation), list[float]()
    gc.collect()
    cpu, begun = time.process_time(), time.perf_counter()
    if callers:
        await asyncio.gather(*(_caller(calls, begun + seconds, latencies) for _ in range(callers)))
        count = len(latencies)
    else:
        count = await _burst(calls, begun + seconds, latencies)
    took = time.perf_counter() - begun
    return {"calls": count, "seconds": took, "cpu": time.process_time() - cpu, **percentiles(latencies)}


async def _caller(calls: Calls, end: float, latencies: list[float]) -> None:
    clock, add = time.perf_counter, latencies.append
    begun = clock()
    for call in calls:
        await call
        now = clock()
        add(now - begun)
        if now >= end:
            return
        begun = now


async def _burst(calls: Calls, end: float, latencies: list[float]) -> int:
    count = 0
    while time.perf_counter() < end:
        begun, done = time.perf_counter(), 0
        for call in islice(calls, CHUNK):
            await call
            done += 1
        if not done:
            break
        latencies.append((time.perf_counter() - begun) / done)
        count += done
    return count


def percentiles(latencies: list[float]) -> dict[str, float]:
    """p50, p99 and p99.9, in seconds."""
    ranked = sorted(latencies) or [0.0]
    last = len(ranked) - 1
    return {name: ranked[round(last * share)] for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}


def tell(answer: Answer) -> None:
    """One line out."""
    print(json.dumps(answer), flush=True)


def main(make: Callable[[dict[str, Any]], Peer]) -> None:
    """Serve until standard input ends. The options are the program's one argument."""
    options = json.loads(sys.argv[1])
    if options.get("loop") == "uvloop":
        import uvloop  # noqa: PLC0415  (only where it is asked for)

        uvloop.run(_serve(make(options)))
    else:
        asyncio.run(_serve(make(options)))


async def _serve(peer: Peer) -> None:
    await peer.start()
    tell({"operations": peer.operations, "version": version(peer.package)})
    warm = set[str]()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        if request["operation"] not in warm:
            warm.add(request["operation"])
            await measure(peer, request["operation"], request["callers"], WARM_UP)
        tell(await measure(peer, **request))
    await peer.stop()


def version(package: str) -> str:
    """The installed version of a package; empty for none."""
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
