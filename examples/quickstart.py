"""The quick start: both APIs, printing what happens. Runs on the emulator unless SESSION_PROVIDER says otherwise."""

from __future__ import annotations

import asyncio

from chuk_sessions import SessionManager, factory_for_env


async def single_values() -> None:
    """The provider API: values under keys, with a time to live."""
    factory = factory_for_env()
    async with factory() as session:
        await session.setex("user:123", 300, "alice")
        print("user:123 holds", await session.get("user:123"))
        await session.setex("verify:alice", 600, "one-time-code")
        print("the code, redeemed once:", await session.getdel("verify:alice"), "and again:", end=" ")
        print(await session.getdel("verify:alice"))
        print("deleted:", await session.delete("user:123"))


async def sessions() -> None:
    """SessionManager: a session from its beginning to its end."""
    async with SessionManager(sandbox_id="my-app", default_ttl_hours=24) as manager:
        session_id = await manager.allocate_session(
            user_id="alice", custom_metadata={"role": "admin", "permissions": ["read", "write"]}
        )
        print("allocated", session_id)
        print("valid:", await manager.validate_session(session_id))
        await manager.update_session_metadata(session_id, {"theme": "dark"})
        for _ in range(3):
            answer = await manager.increment_session_counter(session_id, "requests", ceiling=2)
            print(
                "request",
                "let through," if answer else "refused,",
                "count:",
                answer.value if answer is not None else None,
            )
        print("extended:", await manager.extend_session_ttl(session_id, 0.5))
        info = await manager.get_session_info(session_id)
        print("info:", info)
        print("artifact path:", manager.generate_artifact_key(session_id, "document123"))
        new_id = await manager.rotate_session(session_id)
        print("rotated; the old id is valid:", await manager.validate_session(session_id))
        print("sessions of alice:", await manager.count_sessions("alice"))
        print("deleted:", await manager.delete_session(new_id or session_id))


async def main() -> None:
    """Both."""
    await single_values()
    await sessions()


if __name__ == "__main__":
    asyncio.run(main())
