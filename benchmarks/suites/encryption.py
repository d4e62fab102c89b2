"""The suite encryption: what encryption costs, per call with 100 callers, per session, and per value.

    python benchmarks/suites/encryption.py [--server PATH] [--rounds 15] [--seconds 0.5] [--sessions 20000]

Prints calls per second of the client's CPU with and without encryption, as the median of the ratios of rounds that
alternate and as that of the best rounds, and the server's memory. CPU time is the measure
because one client process is the bottleneck, and because other work on the machine changes it less.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.harness import cores
from benchmarks.suites.memory import SHORT, measure
from chuk_sessions import SessionManager
from chuk_sessions.encryption import Encryption, generate_key
from chuk_sessions.providers import redis
from tests.harness.servers import Server, valkey_binary, version_of

CALLERS = 100
SESSIONS = 1000
Use = Callable[[SessionManager, str, int], Awaitable[object]]
OPERATIONS: dict[str, Use] = {
    "validate": lambda manager, session_id, _: manager.validate_session(session_id),
    "read": lambda manager, session_id, _: manager.get_session_metadata(session_id),
    "merge": lambda manager, session_id, n: manager.update_session_metadata(session_id, {"page": f"/products/{n}"}),
    "load": lambda manager, session_id, _: manager.load_session(session_id),
    "allocate": lambda manager, _, n: manager.allocate_session(user_id=f"user{n:06d}", custom_metadata=SHORT),
}


async def speed(use: Use, manager: SessionManager, session_ids: list[str], seconds: float) -> float:
    """Return the calls per second of this process's CPU."""
    ends_at, calls = time.perf_counter() + seconds, 0

    async def caller(first: int) -> None:
        nonlocal calls
        n = first
        while time.perf_counter() < ends_at:
            await use(manager, session_ids[n % SESSIONS], n)
            n, calls = n + CALLERS, calls + 1

    begun = time.process_time()
    await asyncio.gather(*map(caller, range(CALLERS)))
    return calls / (time.process_time() - begun)


async def compare(server: Server, rounds: int, seconds: float) -> None:
    """Print the speed of each operation with and without encryption."""
    encryption = Encryption({"2026-11": generate_key()}, primary="2026-11")
    async with (
        SessionManager("plain", redis.factory(server.url)) as plain,
        SessionManager("encrypted", redis.factory(server.url), encryption=encryption) as encrypted,
    ):
        ids = {
            manager: [await manager.allocate_session(user_id=f"u{n}", custom_metadata=SHORT) for n in range(SESSIONS)]
            for manager in (plain, encrypted)
        }
        for name, use in OPERATIONS.items():
            speeds: dict[SessionManager, list[float]] = {plain: [], encrypted: []}
            for number in range(rounds):
                for manager in (plain, encrypted) if number % 2 else (encrypted, plain):
                    speeds[manager].append(await speed(use, manager, ids[manager], seconds))
            best = max(speeds[encrypted]) / max(speeds[plain])
            ratio = statistics.median(
                ours / theirs for ours, theirs in zip(speeds[encrypted], speeds[plain], strict=True)
            )
            medians = [statistics.median(speeds[manager]) for manager in (plain, encrypted)]
            print(
                f"{name:10} plain {medians[0]:9,.0f}/s, encrypted {medians[1]:9,.0f}/s, "
                f"ratio {ratio:.2f}, best {best:.2f}"
            )


def _fill(server: Server, sessions: int, metadata: dict[str, Any], encryption: Encryption | None) -> None:
    asyncio.run(fill(server, sessions, metadata, encryption))


async def fill(server: Server, sessions: int, metadata: dict[str, Any], encryption: Encryption | None) -> None:
    """Create sessions, each of a different user."""
    async with SessionManager("my-app", redis.factory(server.url), encryption=encryption) as manager:
        for first in range(0, sessions, CALLERS):
            numbers = range(first, min(first + CALLERS, sessions))
            await asyncio.gather(
                *(manager.allocate_session(user_id=f"user{n:06d}", custom_metadata=metadata) for n in numbers)
            )


def memory(server: Server, sessions: int) -> None:
    """Print the bytes per session and value. Values may be as long as the documentation recommends for listpacks."""
    with server.client() as client:
        client.config_set("hash-max-listpack-value", 1024)
    encryption = Encryption({"2026-11": generate_key()}, primary="2026-11")
    more = []
    for count in (0, 4, 8):
        metadata = {f"{key}{number}": value for number in range(2) for key, value in SHORT.items()}
        metadata = dict(list(metadata.items())[:count])
        sizes = [measure(server, sessions, metadata, partial(_fill, encryption=one)) for one in (None, encryption)]
        more.append(sizes[1] - sizes[0])
        print(f"{count} values: plain {sizes[0]:.0f} B, encrypted {sizes[1]:.0f} B, {more[-1]:.0f} B more")
    print(f"{more[0]:.0f} B more per session, and {(more[-1] - more[0]) / 8:.1f} B more per value")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(valkey_binary()), help="path of a server binary")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--sessions", type=int, default=20_000)
    options = parser.parse_args()
    with cores.running_server(options.server) as server, cores.on_client_cores("chuk-sessions"):
        print(version_of(server))
        asyncio.run(compare(server, options.rounds, options.seconds))
        memory(server, options.sessions)


if __name__ == "__main__":
    main()
