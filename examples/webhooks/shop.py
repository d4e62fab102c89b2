"""A shop whose sessions emit events: a user logs in and out.

Set SESSION_REDIS_URL to the store, unless it is on this machine.
"""

from __future__ import annotations

import asyncio

from chuk_sessions import SessionManager
from chuk_sessions.providers import redis


async def main() -> None:
    """Create a session and delete it."""
    async with SessionManager("shop", redis.factory(), events=True) as manager:
        session_id = await manager.allocate_session(user_id="alice")
        await manager.delete_session(session_id)
        print("alice has logged in and out")


if __name__ == "__main__":
    asyncio.run(main())
