"""A host of its own, whose clock is wrong: `python -m tests.faults.inject.host URL OFFSET SECONDS FIRST`.

Reads ids of sessions that are about to end from its standard input, one a line; puts a load on the store meanwhile, and
prints its counts and, for each of the ids, when it was last told that the session is alive and first that it is not, by
the clock that all processes of the machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict

from tests.faults.judge import count
from tests.faults.load.load import Load, load_on

PATIENCE_S = 30.0


def shift_clock(seconds: float) -> None:
    """From now on this process takes it to be so much later."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)


async def seen(load: Load, session_id: str) -> tuple[float, float]:
    """When validation last began that said yes, and when the first ended that said no."""
    last, give_up = 0.0, time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        begun = time.monotonic()
        if not await load.managers[0].validate_session(session_id):
            return last, time.monotonic()
        last = begun
        await asyncio.sleep(0.002)
    raise TimeoutError("the session does not end")


async def main(url: str, seconds: float, first: int) -> None:
    """Run the load."""
    async with load_on(url, timeout=10.0, first=first) as load:
        session_ids = await asyncio.to_thread(sys.stdin.read)
        ends, _ = await asyncio.gather(
            asyncio.gather(*(seen(load, session_id) for session_id in session_ids.split())), asyncio.sleep(seconds)
        )
    print(json.dumps({"counts": asdict(await count(load, url, 0.0)), "ends": ends}))


if __name__ == "__main__":
    shift_clock(float(sys.argv[2]))
    asyncio.run(main(sys.argv[1], float(sys.argv[3]), int(sys.argv[4])))
