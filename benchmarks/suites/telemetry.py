"""The suite telemetry: what counting calls costs, with 100 callers.

    python benchmarks/suites/telemetry.py [--server PATH] [--rounds 201] [--calls 5000]

Prints the client's CPU time per validate with telemetry off, counted for Prometheus, and instrumented for
OpenTelemetry, and the ratios of rounds that alternate. CPU time is the measure because one client process is the
bottleneck, and because other work on the machine changes it less.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from benchmarks.harness import cores
from chuk_sessions import SessionManager
from chuk_sessions.providers import redis
from chuk_sessions.telemetry import instrument, prometheus_collector, uninstrument
from chuk_sessions.telemetry.recorder import release
from tests.harness.servers import Server, valkey_binary, version_of

CALLERS = 100
SESSIONS = 1000
Mode = Callable[[SessionManager], AbstractContextManager[object]]


@contextmanager
def prometheus(manager: SessionManager) -> Iterator[None]:
    """Count the calls for Prometheus."""
    prometheus_collector(manager)
    yield
    release(manager._backend.call_hook)  # type: ignore[attr-defined]


@contextmanager
def opentelemetry(_: SessionManager) -> Iterator[None]:
    """Count the calls for OpenTelemetry. None of them is within a recorded span."""
    instrument(TRACERS, METERS)
    yield
    uninstrument()


TRACERS, METERS = TracerProvider(), MeterProvider()
MODES: dict[str, Mode] = {
    "off": lambda _: nullcontext(),
    "off again": lambda _: nullcontext(),
    "Prometheus": prometheus,
    "OpenTelemetry": opentelemetry,
}


async def cost(manager: SessionManager, session_ids: list[str], calls: int) -> float:
    """Return the µs of this process's CPU that a validate takes."""

    async def caller(first: int) -> None:
        for n in range(first, calls, CALLERS):
            await manager.validate_session(session_ids[n % SESSIONS])

    begun = time.process_time()
    await asyncio.gather(*map(caller, range(CALLERS)))
    return 1e6 * (time.process_time() - begun) / calls


async def compare(server: Server, rounds: int, calls: int) -> None:
    """Print the cost in each mode, and the ratio to the cost without telemetry."""
    costs: dict[str, list[float]] = {name: [] for name in MODES}
    async with SessionManager("bench", redis.factory(server.url)) as manager:
        session_ids = [await manager.allocate_session() for _ in range(SESSIONS)]
        for number in range(rounds):
            for name in list(MODES)[:: 1 if number % 2 else -1]:
                with MODES[name](manager):
                    costs[name].append(await cost(manager, session_ids, calls))
    for name, found in costs.items():
        ratio = statistics.median(ours / off for ours, off in zip(found, costs["off"], strict=True))
        best = min(found) / min(costs["off"])
        print(f"{name:14} {statistics.median(found):6.2f} µs, ratio {ratio:.3f}, best {best:.3f}")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--rounds", type=int, default=201)
    parser.add_argument("--calls", type=int, default=5000, help="in each round")
    options = parser.parse_args()
    with cores.running_server(options.server) as server, cores.on_client_cores("chuk-sessions"):
        print(version_of(server))
        asyncio.run(compare(server, options.rounds, options.calls))


if __name__ == "__main__":
    main()
