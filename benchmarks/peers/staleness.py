"""The staleness of the local cache: how long after the reply to a revocation another process still has the session.

    python -m benchmarks.peers.staleness URL TRIALS

A child process revokes. This process does nothing else than validate the session. Prints the milliseconds of each
trial, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection

from chuk_sessions import LocalCache, SessionManager
from chuk_sessions.providers import redis
from chuk_sessions.sync import SessionManager as BlockingManager

SANDBOX = "staleness"


def revoke(url: str, pipe: Connection) -> None:
    """Revoke the sessions whose ids arrive, and send back when the reply came."""
    with BlockingManager(SANDBOX, redis.factory(url)) as manager:
        while (session_id := pipe.recv()) is not None:
            manager.delete_session(session_id)
            pipe.send(time.monotonic())


async def measure(url: str, trials: int, pipe: Connection) -> list[float]:
    """Return the staleness of each trial, in ms."""
    found = []
    async with SessionManager(
        SANDBOX, redis.factory(url), touch_interval_seconds=60, local_cache=LocalCache()
    ) as manager:
        for _ in range(trials):
            session_id = await manager.allocate_session()
            while manager.cached_session(session_id) is None:
                await manager.get_session_metadata(session_id)
                await asyncio.sleep(0.001)
            pipe.send(session_id)
            last = asked = time.monotonic()
            while await manager.validate_session(session_id):
                last, asked = asked, time.monotonic()
            found.append(max(0.0, 1000 * (last - pipe.recv())))
    return found


def main() -> None:
    """Measure, and print."""
    url, trials = sys.argv[1], int(sys.argv[2])
    own_end, other_end = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=revoke, args=(url, other_end), daemon=True)
    process.start()
    found = asyncio.run(measure(url, trials, own_end))
    own_end.send(None)
    process.join(10)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
