"""count: count the live sessions of a sandbox, or of a user in it."""

from __future__ import annotations

import pytest


async def test_counts_live_sessions_of_sandbox_and_user(world):
    manager = world.manager()
    for number in range(10):
        await manager.allocate_session(user_id="alice" if number % 2 else "bob", ttl_hours=1 + number)
    await manager.allocate_session("own", user_id="alice")
    await manager.allocate_session()
    assert await manager.count_sessions() == 12
    assert await manager.count_sessions("alice") == 6
    assert await manager.count_sessions("nobody") == 0
    assert await world.manager("other").count_sessions() == 0
    await world.advance(hours=5)
    assert await manager.count_sessions() == 7
    assert await manager.count_sessions("bob") == 2


@pytest.mark.parametrize("user_id", ["", 7])
async def test_refuses_invalid_users(world, user_id):
    with pytest.raises(ValueError, match="user_id"):
        await world.manager().count_sessions(user_id)
