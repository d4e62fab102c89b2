"""notes: return the buckets in which a user may have sessions, besides the home bucket."""

from __future__ import annotations

import pytest

from chuk_sessions import NotSupportedError
from chuk_sessions.core import ids, keys, note_operations, operations, statuses
from tests.harness.references import listed, references
from tests.harness.strays import HOME, USER, home_index, id_in, ids_in, note, notes_of

OTHERS = [(HOME + number) % ids.BUCKETS for number in (1, 2, 3)]


async def test_returns_the_time_and_the_notes_in_the_order_of_their_refresh(world):
    started = world.clock.now_ms()
    for bucket in (255, 0, 7, 255):
        await note(world, bucket)
        await world.advance(ms=5)
    reply = await world.backend.run(note_operations.notes(home_index(), ids.user_hash(USER)))
    times = [b"%d" % (started + ms) for ms in (5, 10, 15)]
    assert reply == [statuses.OK, started + 20, [b"00", times[0], b"07", times[1], b"ff", times[2]]]


async def test_lists_counts_and_revokes_strays_of_every_kind(world):
    manager = world.manager()
    created = [await manager.allocate_session(user_id=USER) for _ in range(2)]
    created += [await manager.allocate_session(one, user_id=USER) for one in (*ids_in(OTHERS), id_in(HOME), "chosen")]
    await manager.allocate_session(id_in(OTHERS[0]), user_id="bob")
    assert sorted(await listed(manager, USER)) == sorted(references(created))
    assert sorted([one.reference async for one in manager.iter_user_sessions(USER)]) == sorted(references(created))
    assert await manager.count_sessions(USER) == len(created)
    assert await manager.revoke_user_sessions(USER) == len(created)
    assert await manager.count_sessions() == 1


async def test_only_the_home_bucket_is_asked_about_a_user_without_strays(world):
    asked = set()

    async def before(call):
        asked.update(call.keys)

    manager = world.manager()
    for _ in range(3):
        await manager.allocate_session(user_id=USER)
    watched = world.intercepted(before)
    assert len(await watched.list_user_sessions(USER)) == await watched.count_sessions(USER) == 3
    assert await watched.revoke_user_sessions(USER) == 3
    assert {key.partition("}")[0] for key in asked} == {f"chuk1:{{{keys.tag(HOME)}"}


async def test_a_list_of_ten_sessions_takes_two_calls_besides_the_records(world):
    calls = []

    async def before(call):
        calls.append(call.operation.name)

    manager = world.manager()
    for _ in range(10):
        await manager.allocate_session(user_id=USER)
    assert len(await world.intercepted(before).list_user_sessions(USER)) == 10
    assert sorted(calls) == ["fetch"] * 10 + ["find", "notes"]


async def test_ignores_entries_that_name_no_bucket(world):
    manager = world.manager()
    await manager.allocate_session(user_id=USER)
    call = note_operations.note(home_index(), "test", ids.user_hash(USER), 7)
    await world.backend.run(call._replace(argv=(call.argv[0], b"7\xff", call.argv[2])))
    assert await notes_of(world) == {}
    assert len(await manager.list_user_sessions(USER)) == await manager.count_sessions(USER) == 1
    assert await manager.revoke_user_sessions(USER) == 1


async def test_a_rotated_stray_is_still_found(world):
    manager = world.manager()
    stray = await manager.allocate_session(id_in(OTHERS[0]), user_id=USER)
    await world.advance(hours=5)
    await manager.cleanup_expired_sessions()
    rotated = await manager.rotate_session(stray)
    assert await listed(manager, USER) == references([rotated])
    assert await manager.revoke_user_sessions(USER) == 1


async def test_a_list_includes_a_session_that_is_rotated_or_moved_while_it_is_read(world):
    session_id, calls = None, []

    async def rotate(call):
        nonlocal session_id
        calls.append(call)
        if call.operation is operations.FETCH and len(calls) < 12:
            session_id = await mover.rotate_session(session_id) or session_id

    for mover in (world.manager(), world.manager(max_sessions_per_user=5)):
        for bucket in (HOME, OTHERS[0]):
            session_id = await world.manager().allocate_session(id_in(bucket), user_id=USER)
            calls.clear()
            found = await listed(world.intercepted(rotate), USER)
            assert references([session_id])[0] in found
            assert await mover.delete_session(session_id)


async def test_notes_stay_in_their_sandbox(world):
    a, b = world.manager(), world.manager("other")
    await a.allocate_session("mine", user_id=USER)
    await b.allocate_session("mine", user_id=USER)
    assert await a.revoke_user_sessions(USER) == 1
    assert await b.validate_session("mine")
    assert await b.count_sessions(USER) == 1


async def test_a_custom_provider_cannot_list_or_revoke_by_user(single):
    manager = single.manager()
    await manager.allocate_session("mine", user_id=USER)
    try:
        assert len(await manager.list_user_sessions(USER)) == 1
    except NotSupportedError:
        for call in (manager.list_user_sessions, manager.count_sessions, manager.revoke_user_sessions):
            with pytest.raises(NotSupportedError):
                await call(USER)
