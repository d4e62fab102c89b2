"""fetch: return a whole record as it is stored, for lists."""

from __future__ import annotations

import pytest

from chuk_sessions.core import data_operations, keys, operations, statuses
from chuk_sessions.core.record import fields_of
from tests.harness.references import listed, references

USER = "alice"


async def fetch(world, session_id):
    reply = await world.backend.run(operations.fetch(keys.session_keys("test", session_id)))
    assert reply[0] == statuses.OK
    return fields_of(reply[1])


async def test_returns_what_a_read_returns(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session(user_id=USER, custom_metadata={"a": [1, "ü"]})
    read = await single.backend.run(operations.read(keys.session_keys("test", session_id)))
    assert await fetch(single, session_id) == fields_of(read[1])


async def test_returns_nothing_for_an_unknown_session(single):
    assert await fetch(single, "unknown") == {}


async def test_returns_an_expired_record_and_a_pointer(world):
    manager = world.manager()
    old = await manager.allocate_session(user_id=USER, ttl_hours=1)
    new = await manager.rotate_session(old, grace_seconds=60)
    assert set(await fetch(world, old)) == {b"r", b"d"}
    await world.advance(hours=1, seconds=1)
    assert b"u" in await fetch(world, new)


@pytest.mark.parametrize("seconds", [59, 60])
async def test_a_list_leaves_out_sessions_that_were_idle_too_long(world, seconds):
    manager = world.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session(user_id=USER)
    await world.advance(seconds=seconds)
    assert await listed(manager, USER) == (references([session_id]) if seconds < 60 else [])


@pytest.mark.parametrize("field", [b"c", b"d", b"a", b"i", b"v"])
async def test_a_damaged_record_is_left_out_and_hides_no_other(world, caplog, field):
    manager = world.manager(idle_timeout_seconds=60)
    damaged, intact = [await manager.allocate_session(user_id=USER) for _ in range(2)]
    await world.backend.run(data_operations.merge(keys.session_keys("test", damaged), pairs=[field, b"soon"]))
    assert await listed(manager, USER) == references([intact])
    assert "a session record cannot be read" in caplog.text
