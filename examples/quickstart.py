"""Quick start: the session API and the provider API, with every step printed.

It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio

from chuk_sessions import SessionManager, factory_for_env


async def single_values() -> None:
    """Use the provider API, which stores values under keys with a time to live in seconds."""
    factory = factory_for_env()
    async with factory() as session:
        await session.setex("user:123", 300, "alice")
        print("user:123 holds", await session.get("user:123"))
        await session.setex("verify:alice", 600, "one-time-code")
        first, second = await session.getdel("verify:alice"), await session.getdel("verify:alice")
        print("the code, redeemed once:", first, "and again:", second)
        print("deleted:", await session.delete("user:123"))


async def sessions() -> None:
    """Use the session API, from the creation of a session to its deletion."""
    async with SessionManager(sandbox_id="my-app", default_ttl_hours=24) as manager:
        session_id = await manager.allocate_session(
            user_id="alice", custom_metadata={"role": "admin", "permissions": ["read", "write"]}
        )
        print("allocated", session_id)
        print("valid:", await manager.validate_session(session_id))
        await manager.update_session_metadata(session_id, {"theme": "dark"})
        for _ in range(3):
            counter = await manager.increment_session_counter(session_id, "requests", ceiling=2)
            if counter is not None:  # The session exists.
                print("request", "allowed," if counter else "refused,", "count:", counter.value)
        print("extended:", await manager.extend_session_ttl(session_id, 0.5))
        print("info:", await manager.get_session_info(session_id))
        print("artifact path:", manager.generate_artifact_key(session_id, "document123"))
        new_id = await manager.rotate_session(session_id)
        print("rotated; the old id is valid:", await manager.validate_session(session_id))
        print("sessions of alice:", await manager.count_sessions("alice"))
        print("deleted:", await manager.delete_session(new_id or session_id))


async def main() -> None:
    """Run both parts."""
    await single_values()
    await sessions()


if __name__ == "__main__":
    asyncio.run(main())
