"""Login and rotation: a guest becomes a user, the session id changes, and one call logs out all other devices.

It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio

from chuk_sessions import SessionManager, SessionRotatedError

ONE_MINUTE = 60


async def browse(manager: SessionManager) -> str:
    """Give a visitor a session before login."""
    guest_id = await manager.allocate_session(custom_metadata={"cart": ["book"]})
    await manager.update_session_metadata(guest_id, {"cart": ["book", "lamp"]})
    return guest_id


async def log_in(manager: SessionManager, guest_id: str, user_id: str) -> str:
    """Turn the visitor's session into the user's, under a new id.

    Without a new id, an attacker who planted the guest's id in the browser would share the user's session (session
    fixation).
    """
    session_id = await manager.rotate_session(guest_id, user_id=user_id)
    if session_id is None:
        # The guest's session expired while the user typed the password. Create an empty one.
        session_id = await manager.allocate_session(user_id=user_id)
    return session_id


async def change_password(manager: SessionManager, session_id: str) -> str:
    """Replace the id after a change of privileges. Requests with the old id still succeed for 30 seconds."""
    new_id = await manager.rotate_session(session_id, grace_seconds=30)
    if new_id is None:
        raise PermissionError("please log in")
    return new_id


async def log_out_other_devices(manager: SessionManager, user_id: str, current_id: str) -> int:
    """Revoke every session of the user except the current one."""
    return await manager.revoke_user_sessions(user_id, except_session_id=current_id)


async def main() -> None:
    """Play one user's day."""
    async with SessionManager(
        "shop", idle_timeout_seconds=30 * ONE_MINUTE, touch_interval_seconds=ONE_MINUTE
    ) as manager:
        await manager.revoke_user_sessions("alice")
        phone_id = await manager.allocate_session(user_id="alice", custom_metadata={"device": "phone"})
        guest_id = await browse(manager)

        session_id = await log_in(manager, guest_id, "alice")
        session = await manager.get_session_metadata(session_id)
        if session is None:
            raise RuntimeError("the session expired at once")
        print("after login the guest's id is valid:", await manager.validate_session(guest_id))
        print("the cart came along:", session.custom_metadata["cart"], "of", session.user_id)

        rotated_id = await change_password(manager, session_id)
        print("old id, during the grace period:", await manager.validate_session(session_id))
        try:
            await manager.rotate_session(session_id)
        except SessionRotatedError:
            print("an old id cannot be rotated again")

        print("devices:", await manager.count_sessions("alice"))
        print("logged out elsewhere:", await log_out_other_devices(manager, "alice", rotated_id))
        print(
            "phone:",
            await manager.validate_session(phone_id),
            "this device:",
            await manager.validate_session(rotated_id),
        )


if __name__ == "__main__":
    asyncio.run(main())
