"""Login and rotation: a guest becomes a user, ids change, and one button logs out every other device.

Runs on the emulator. Set SESSION_PROVIDER=redis and SESSION_REDIS_URL to run it on a server.
"""

from __future__ import annotations

import asyncio

from chuk_sessions import SessionManager, SessionRotatedError

ONE_MINUTE = 60


async def browse(manager: SessionManager) -> str:
    """Give a visitor a session before anybody has logged in."""
    guest_id = await manager.allocate_session(custom_metadata={"cart": ["book"]})
    await manager.update_session_metadata(guest_id, {"cart": ["book", "lamp"]})
    return guest_id


async def log_in(manager: SessionManager, guest_id: str, user_id: str) -> str:
    """Turn the visitor's session into the user's, under a new id.

    An attacker may have planted the guest's id in the browser (session fixation). The new id makes that worthless.
    """
    session_id = await manager.rotate_session(guest_id, user_id=user_id)
    if session_id is None:
        # The guest's session expired while the user typed the password. Start with an empty one.
        session_id = await manager.allocate_session(user_id=user_id)
    return session_id


async def change_password(manager: SessionManager, session_id: str) -> str:
    """Replace the id, because privileges changed. Requests that are already on their way may use the old one."""
    new_id = await manager.rotate_session(session_id, grace_seconds=30)
    if new_id is None:
        raise PermissionError("please log in")
    return new_id


async def log_out_other_devices(manager: SessionManager, user_id: str, current: str) -> int:
    """Revoke every session of the user except the one that asks."""
    return await manager.revoke_user_sessions(user_id, except_session_id=current)


async def main() -> None:
    """Play one user's day."""
    async with SessionManager(
        "shop", idle_timeout_seconds=30 * ONE_MINUTE, touch_interval_seconds=ONE_MINUTE
    ) as manager:
        await manager.revoke_user_sessions("alice")
        phone = await manager.allocate_session(user_id="alice", custom_metadata={"device": "phone"})
        guest_id = await browse(manager)

        session_id = await log_in(manager, guest_id, "alice")
        session = await manager.get_session_metadata(session_id)
        if session is None:
            raise RuntimeError("the session expired at once")
        print("after login the guest's id is valid:", await manager.validate_session(guest_id))
        print("the cart came along:", session.custom_metadata["cart"], "of", session.user_id)

        newer_id = await change_password(manager, session_id)
        print("old id, during the grace period:", await manager.validate_session(session_id))
        try:
            await manager.rotate_session(session_id)
        except SessionRotatedError:
            print("an old id cannot be rotated again")

        print("devices:", await manager.count_sessions("alice"))
        print("logged out elsewhere:", await log_out_other_devices(manager, "alice", newer_id))
        print("phone:", await manager.validate_session(phone), "this device:", await manager.validate_session(newer_id))


if __name__ == "__main__":
    asyncio.run(main())
