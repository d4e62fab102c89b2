"""The common part of peers for synchronous code: threads that make one blocking call after another.

It reads and writes the messages that `worker` describes. Callers are threads; a single caller is the main thread.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

from benchmarks.peers.worker import WARM_UP, Message, percentiles, version, write_line

BlockingCall = Callable[[], object]


class BlockingPeer:
    """A client to measure. For each name in `operations`, `calls` returns a function that makes one call."""

    operations: tuple[str, ...] = ()
    package = ""
    imported_from = ""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def start(self) -> None:
        """Connect, and create the sessions that the operations use."""

    def stop(self) -> None:
        """Close the client."""

    def calls(self, operation: str) -> BlockingCall:
        """Return a function for one thread. Each time, it makes a call of that operation on the next session."""
        raise NotImplementedError


def measure(peer: BlockingPeer, operation: str, callers: int, seconds: float) -> Message:
    """Let threads call for that many seconds."""
    latencies: list[list[float]] = [[] for _ in range(callers)]
    barrier = Barrier(callers)

    def work(number: int) -> None:
        call, clock, add = peer.calls(operation), time.perf_counter, latencies[number].append
        barrier.wait()
        started = clock()
        end = started + seconds
        while started < end:
            call()
            now = clock()
            add(now - started)
            started = now

    gc.collect()
    threads = [Thread(target=work, args=(number,)) for number in range(1, callers)]
    cpu, started = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    merged = [latency for part in latencies for latency in part]
    return {"calls": len(merged), "seconds": elapsed, "cpu": time.process_time() - cpu, **percentiles(merged)}


def main(peer_type: Callable[[dict[str, Any]], BlockingPeer]) -> None:
    """Answer requests until standard input ends. The program's only argument is the options, as JSON."""
    peer = peer_type(json.loads(sys.argv[1]))
    peer.start()
    write_line(
        {
            "operations": peer.operations,
            "version": version(peer.package),
            "imported_from": peer.imported_from,
        }
    )
    warmed_up = set[tuple[str, int]]()
    for line in sys.stdin:
        request = json.loads(line)
        case = (request["operation"], request["callers"])
        if case not in warmed_up:
            warmed_up.add(case)
            measure(peer, *case, WARM_UP)
        write_line(measure(peer, **request))
    peer.stop()
