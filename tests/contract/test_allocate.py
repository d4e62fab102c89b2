"""allocate: make a session, or touch the one that is there."""

from __future__ import annotations

import re

import pytest

from chuk_sessions import SessionOwnerError


async def test_returns_an_id_that_is_valid(world):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"role": "admin"})
    assert re.fullmatch(r"sess-alice-\d{10}-[0-9a-f]{34}", session_id)
    assert await manager.validate_session(session_id)


@pytest.mark.parametrize("user_id", ["!!!", None])
async def test_leaves_the_user_part_out_when_nothing_is_left_of_it(world, user_id):
    session_id = await world.manager().allocate_session(user_id=user_id)
    assert re.fullmatch(r"sess-\d{10}-[0-9a-f]{34}", session_id)


async def test_refuses_another_user(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice")
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("s1", user_id="mallory")
