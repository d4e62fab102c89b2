"""The common part of every peer's program: it reads requests as lines of JSON, measures, and writes lines of JSON.

The first line that it writes lists the peer's operations, the version of its package, and the path that its package was
imported from. A request names an operation, callers, and seconds. The reply has calls, seconds, CPU seconds of the
process, and latencies in seconds. If the option `servers` has ports, it also has the CPU seconds of those servers.

This module needs nothing but Python, because peers run it in environments of their own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

Calls = Iterator[Awaitable[Any]]
Message = dict[str, Any]

CHUNK = 500
WARM_UP = 0.1
"""The seconds for which each operation runs before its first measurement."""


class Peer:
    """A client to measure. For each name in `operations`, a subclass has a method that returns calls to await."""

    operations: tuple[str, ...] = ()
    package = ""
    """The distribution to measure, whose version the report shows."""
    imported_from = ""
    """The path of the measured package, if several copies of it exist."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    async def start(self) -> None:
        """Connect, and create the sessions that the operations use."""

    async def stop(self) -> None:
        """Close the client."""

    async def prepare(self, operation: str, callers: int, seconds: float) -> None:
        """Create the sessions that a measurement of that length consumes."""

    def calls(self, operation: str) -> Calls:
        """Return calls of that operation, each created when a caller takes it."""
        calls: Calls = getattr(self, operation)()
        return calls


async def measure(peer: Peer, operation: str, callers: int, seconds: float) -> Message:
    """Run concurrent callers for that many seconds. Each caller awaits one call after another.

    With 0 callers there is one caller, and the clock is read once per CHUNK calls. This is for calls that take less
    time than reading the clock.
    """
    await peer.prepare(operation, callers, seconds)
    calls, latencies = peer.calls(operation), list[float]()
    gc.collect()
    servers = peer.options.get("servers", [])
    server_cpu, cpu, started = cpu_of(servers), time.process_time(), time.perf_counter()
    if callers:
        await asyncio.gather(*(_caller(calls, started + seconds, latencies) for _ in range(callers)))
        count = len(latencies)
    else:
        count = await _measure_chunks(calls, started + seconds, latencies)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    figures = {"calls": count, "seconds": elapsed, "cpu": cpu, "server_cpu": cpu_of(servers) - server_cpu}
    return {**figures, **percentiles(latencies)}


def cpu_of(servers: list[int]) -> float:
    """Return the CPU seconds that the servers on these ports have used together."""
    seconds = 0.0
    for port in servers:
        with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
            stream.write(b"INFO cpu\r\n")
            stream.flush()
            text = stream.read(int(stream.readline()[1:])).decode()
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        seconds += float(lines["used_cpu_user"]) + float(lines["used_cpu_sys"])
    return seconds


async def _caller(calls: Calls, end: float, latencies: list[float]) -> None:
    clock, add = time.perf_counter, latencies.append
    started = clock()
    for call in calls:
        await call
        now = clock()
        add(now - started)
        if now >= end:
            return
        started = now


async def _measure_chunks(calls: Calls, end: float, latencies: list[float]) -> int:
    count = 0
    while time.perf_counter() < end:
        started, done = time.perf_counter(), 0
        for call in islice(calls, CHUNK):
            await call
            done += 1
        if not done:
            break
        latencies.append((time.perf_counter() - started) / done)
        count += done
    return count


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return p50, p99, and p99.9, in seconds."""
    ranked = sorted(latencies) or [0.0]
    last = len(ranked) - 1
    return {name: ranked[round(last * share)] for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}


def write_line(message: Message) -> None:
    """Write a message to standard output, as one line."""
    print(json.dumps(message), flush=True)


def main(peer_type: Callable[[dict[str, Any]], Peer]) -> None:
    """Answer requests until standard input ends. The program's only argument is the options, as JSON."""
    options = json.loads(sys.argv[1])
    if options.get("loop") == "uvloop":
        import uvloop  # noqa: PLC0415  (only the peers on uvloop need it)

        uvloop.run(_serve(peer_type(options)))
    else:
        asyncio.run(_serve(peer_type(options)))


async def _serve(peer: Peer) -> None:
    await peer.start()
    write_line(
        {
            "operations": peer.operations,
            "version": version(peer.package),
            "imported_from": peer.imported_from,
        }
    )
    warmed_up = set[str]()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        if request["operation"] not in warmed_up:
            warmed_up.add(request["operation"])
            await measure(peer, request["operation"], request["callers"], WARM_UP)
        write_line(await measure(peer, **request))
    await peer.stop()


def version(package: str) -> str:
    """Return the installed version of a package, or an empty text if it is not installed."""
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
