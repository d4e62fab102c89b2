"""note: note that a user may have sessions outside of the home bucket, before the first of them is created."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionOwnerError
from chuk_sessions.core import ids, index_operations, keys, note_operations, operations, statuses
from tests.harness.strays import HOME, USER, bucket_of, id_in, note, notes_of, stray_ids


async def test_a_stray_is_noted_before_it_is_created(world):
    calls = []

    async def before(call):
        calls.append(call.operation)
        if call.operation is operations.ALLOCATE and note_operations.NOTE in calls:
            assert set(await notes_of(world)) == {bucket_of("mine")}

    await world.intercepted(before).allocate_session("mine", user_id=USER)
    assert calls == [operations.ALLOCATE, note_operations.NOTE, operations.ALLOCATE]


@pytest.mark.parametrize("kind", ["chosen", "generated form", "form of another user"])
async def test_notes_every_kind_of_id_in_another_bucket(world, kind):
    session_id = stray_ids()[kind]
    await world.manager().allocate_session(session_id, user_id=USER)
    assert set(await notes_of(world)) == {bucket_of(session_id)}


async def test_sessions_in_the_home_bucket_and_of_guests_need_no_note(world):
    manager, elsewhere = world.manager(max_sessions_per_user=9), (HOME + 1) % ids.BUCKETS
    await manager.allocate_session(user_id=USER)
    await manager.allocate_session(id_in(HOME), user_id=USER)
    guest = await manager.allocate_session(id_in(elsewhere))
    assert await manager.rotate_session(guest, user_id=USER)
    assert await notes_of(world) == {}


async def test_a_touch_writes_no_note(world):
    manager = world.manager()
    await manager.allocate_session("mine", user_id=USER)
    before = await notes_of(world)
    await world.advance(seconds=1)
    await manager.allocate_session("mine", user_id=USER)
    assert await notes_of(world) == before


async def test_a_creation_after_the_end_of_the_session_refreshes_the_note(world):
    manager = world.manager()
    await manager.allocate_session("mine", user_id=USER, ttl_hours=1)
    before = await notes_of(world)
    await world.advance(hours=2)
    await manager.allocate_session("mine", user_id=USER)
    assert await notes_of(world) == {bucket: refreshed + 2 * 3_600_000 for bucket, refreshed in before.items()}


async def test_another_users_session_is_not_noted(world):
    manager = world.manager()
    await manager.allocate_session("mine", user_id="bob")
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("mine", user_id=USER)
    assert await notes_of(world) == {}


async def test_a_refresh_changes_the_time_even_if_the_clock_stands_still_or_steps_back(world):
    now = world.clock.now_ms()
    times = []
    for seconds in (0, 0, -3600, 7200):
        await world.advance(seconds=seconds)
        await note(world, 7)
        times.append((await notes_of(world))[7])
    assert times == [now, now + 1, now + 2, now + 3_600_000]


async def test_notes_are_due_for_a_check_an_hour_after_the_first_one(world):
    async def due():
        return (await world.backend.run(index_operations.due(keys.noted(HOME))))[1]

    await note(world, 7)
    await world.advance(hours=1, ms=-1)
    await note(world, 8)
    assert await due() == []
    await world.advance(ms=1)
    assert await due() == [f"test/{ids.user_hash(USER)}".encode()]


async def test_a_custom_provider_needs_no_notes(single):
    manager = single.manager()
    await manager.allocate_session("mine", user_id=USER)
    await manager.allocate_session("mine", user_id=USER)
    assert await manager.validate_session("mine")
    call = note_operations.note(keys.index("test", HOME), "test", ids.user_hash(USER), 7)
    assert await single.backend.run(call) == [statuses.OK]


@pytest.mark.parametrize("mode", ["create", "replace"])
async def test_other_modes_note_first_and_take_no_touch(world, mode):
    calls = []

    async def before(call):
        calls.append(call.operation)

    await world.intercepted(before).allocate_session("mine", user_id=USER, mode=mode)
    assert calls == [note_operations.NOTE, operations.ALLOCATE]
    assert await world.manager().revoke_user_sessions(USER) == 1


async def test_a_session_that_is_replaced_by_one_of_another_user_is_noted_for_that_user(world):
    manager, session_id = world.manager(), id_in(HOME)
    await manager.allocate_session(session_id, user_id=USER)
    assert ids.home_bucket("test", "bob") != HOME
    await manager.allocate_session(session_id, user_id="bob", mode="replace")
    assert list(await notes_of(world, "bob")) == [HOME]
    assert await manager.revoke_user_sessions(USER) == 0
    assert await manager.revoke_user_sessions("bob") == 1


async def test_a_session_that_is_replaced_under_its_old_id_is_noted_where_it_is(world):
    manager = world.manager(max_sessions_per_user=9)
    await manager.allocate_session("mine", user_id=USER)
    moved = await manager.rotate_session("mine", grace_seconds=60)
    assert bucket_of(moved) == HOME
    await manager.allocate_session("mine", user_id="bob", mode="replace")
    assert HOME in await notes_of(world, "bob")
    assert await manager.validate_session(moved)
    assert await manager.revoke_user_sessions("bob") == 1
    assert not await manager.validate_session("mine")
