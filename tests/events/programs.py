"""Programs that the tests of events kill: an application that changes sessions, and a reader. Both print what they do.

`python -m tests.events.programs application URL` prints `created HASH` and `ended HASH` for each change that the store
has acknowledged. `python -m tests.events.programs reader URL NAME LEASE` prints `event ID TYPE HASH` for each event.
"""

from __future__ import annotations

import asyncio
import random
import sys

from chuk_sessions import SessionError, SessionManager
from chuk_sessions.events import SessionEvents, session_hash
from chuk_sessions.providers import redis

TASKS = 8
PACE = 0.01
KEPT = 0.2
"""Share of sessions that are not deleted."""


async def change_sessions(manager: SessionManager) -> None:
    """Create, rotate and delete sessions until the process is killed. Outcomes that are unknown are not printed."""
    while True:
        try:
            session_id = await manager.allocate_session(user_id=f"user{random.randrange(100)}")
            print("created", session_hash(session_id), flush=True)
            if random.random() < 0.5:
                rotated = await manager.rotate_session(session_id)
                if rotated is not None:
                    print("rotated", session_hash(session_id), flush=True)
                    session_id = rotated
            if random.random() > KEPT and await manager.delete_session(session_id):
                print("ended", session_hash(session_id), flush=True)
        except SessionError:
            await asyncio.sleep(PACE)
        await asyncio.sleep(PACE)


async def application(url: str) -> None:
    """Change sessions in several tasks."""
    async with SessionManager("events", redis.factory(url), events=True) as manager:
        print("ready", flush=True)
        await asyncio.gather(*[change_sessions(manager) for _ in range(TASKS)])


async def reader(url: str, name: str, lease_seconds: str) -> None:
    """Print events."""
    async with SessionEvents(url, reader=name, lease_seconds=float(lease_seconds)) as events:
        print("ready", flush=True)
        async for event in events:
            print("event", event.id, event.type, event.session_hash, flush=True)


if __name__ == "__main__":
    asyncio.run(application(*sys.argv[2:]) if sys.argv[1] == "application" else reader(*sys.argv[2:]))
