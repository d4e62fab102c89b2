"""A host whose clock is wrong: `python -m tests.faults.inject.host URL OFFSET SECONDS FIRST`.

The process puts load on the store. Meanwhile it reads ids of sessions that expire soon from its standard input, one per
line. It prints the counts of the load and, for each id, when a validation last succeeded and first failed, by the
monotonic clock that all processes of the machine share.
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
    """Shift the wall clock of this process by that many seconds."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)


async def watch_expiry(load: Load, session_id: str) -> tuple[float, float]:
    """Return when the last successful validation began, and when the first failed one returned."""
    last, give_up = 0.0, time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        begun = time.monotonic()
        if not await load.managers[0].validate_session(session_id):
            return last, time.monotonic()
        last = begun
        await asyncio.sleep(0.002)
    raise TimeoutError("the session does not expire")


async def main(url: str, seconds: float, first: int) -> None:
    """Run the load and print its counts."""
    async with load_on(url, timeout=10.0, first=first) as load:
        session_ids = await asyncio.to_thread(sys.stdin.read)
        expiries, _ = await asyncio.gather(
            asyncio.gather(*(watch_expiry(load, one) for one in session_ids.split())),
            asyncio.sleep(seconds),
        )
    print(json.dumps({"counts": asdict(await count(load, url, 0.0)), "expiries": expiries}))


if __name__ == "__main__":
    shift_clock(float(sys.argv[2]))
    asyncio.run(main(sys.argv[1], float(sys.argv[3]), int(sys.argv[4])))
