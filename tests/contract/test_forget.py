"""forget: remove notes about strays that are gone."""

from __future__ import annotations

from chuk_sessions.core import ids, index_operations, keys, note_operations
from tests.harness.references import listed, references
from tests.harness.strays import HOME, USER, forget, id_in, note, notes_of

ELSEWHERE = (HOME + 1) % ids.BUCKETS
ANOTHER = (HOME + 2) % ids.BUCKETS


async def due(world, bucket=HOME):
    return (await world.backend.run(index_operations.due(keys.noted(bucket))))[1]


async def test_removes_a_note_only_if_its_time_is_the_one_that_was_read(world):
    await note(world, 7)
    await note(world, 8)
    before = await notes_of(world)
    await note(world, 8)
    await forget(world, *before.items())
    assert list(await notes_of(world)) == [8]


async def test_the_user_leaves_the_index_with_the_last_note(world):
    await note(world, 7)
    await note(world, 8)
    await world.advance(hours=1)
    assert len(await due(world)) == 1
    await forget(world, *(await notes_of(world)).items())
    assert await due(world) == []
    await world.advance(hours=100)
    assert await due(world) == []


async def test_the_next_check_of_notes_that_remain_is_hours_later(world):
    await note(world, 7)
    await world.advance(hours=1)
    await forget(world)
    assert await due(world) == []
    await world.advance(ms=note_operations.RECHECK_MS - 1)
    assert await due(world) == []
    await world.advance(ms=1)
    assert len(await due(world)) == 1


async def clean(world, sandbox_id="test", **options):
    await world.manager(sandbox_id).cleanup_expired_sessions(**options)


async def test_a_sweep_removes_the_note_an_hour_after_the_creation_if_the_stray_is_gone(world):
    manager = world.manager()
    await manager.allocate_session("mine", user_id=USER)
    await manager.delete_session("mine")
    await world.advance(hours=1, ms=-1)
    await clean(world)
    assert len(await notes_of(world)) == 1
    await world.advance(ms=1)
    await clean(world)
    assert await notes_of(world) == {}
    assert await due(world) == []


async def test_a_sweep_removes_notes_of_sessions_that_it_has_removed(world):
    await world.manager().allocate_session("mine", user_id=USER, ttl_hours=1)
    await world.advance(hours=1)
    assert await world.manager().cleanup_expired_sessions() == 1
    assert await notes_of(world) == {}


async def test_a_sweep_keeps_the_note_as_long_as_the_stray_lives(world):
    manager = world.manager()
    stray, gone = id_in(ELSEWHERE), id_in(ANOTHER)
    for session_id in (stray, gone):
        await manager.allocate_session(session_id, user_id=USER, ttl_hours=20)
    await manager.delete_session(gone)
    for _ in range(3):
        await world.advance(hours=6)
        await clean(world)
        assert list(await notes_of(world)) == [ELSEWHERE]
        assert await listed(manager, USER) == references([stray])
    await world.advance(hours=6)
    await clean(world)
    assert await notes_of(world) == {}


async def test_a_sweep_keeps_a_note_that_is_refreshed_while_it_looks_for_strays(world):
    async def refresh(call):
        if call.operation is index_operations.FIND:
            await note(world, ELSEWHERE)

    await note(world, ELSEWHERE)
    await world.advance(hours=2)
    await world.intercepted(refresh).cleanup_expired_sessions()
    assert list(await notes_of(world)) == [ELSEWHERE]


async def test_a_sweep_keeps_the_note_of_a_session_that_a_clock_step_may_bring_back(world):
    manager = world.manager()
    await manager.allocate_session("mine", user_id=USER, ttl_hours=1)
    await world.advance(hours=1)
    await manager._sweeper._notes.clean(all_sandboxes=False)
    assert len(await notes_of(world)) == 1
    await world.advance(hours=-1)
    assert await manager.revoke_user_sessions(USER) == 1


async def test_a_sweep_of_one_sandbox_leaves_the_notes_of_others(world):
    await note(world, ELSEWHERE)
    await world.advance(hours=2)
    await clean(world, "other")
    assert list(await notes_of(world)) == [ELSEWHERE]
    await clean(world, "other", all_sandboxes=True)
    assert await notes_of(world) == {}


async def test_a_sweep_cleans_the_notes_of_many_users(world):
    users = [f"user{number}" for number in range(150)]
    for user in users:
        await note(world, (ids.home_bucket("test", user) + 1) % ids.BUCKETS, user)
    await world.manager().allocate_session(id_in((ids.home_bucket("test", "user9") + 1) % ids.BUCKETS), user_id="user9")
    await world.advance(hours=2)
    await clean(world, all_sandboxes=True)
    assert [user for user in users if await notes_of(world, user)] == ["user9"]


async def test_a_sweep_skips_entries_of_another_form(world):
    call = note_operations.note(keys.index("test", HOME), "test", 7, ELSEWHERE)
    for member in (b"\xff/7", b"test/x", b"test", b"/7", b"a/b/7"):
        await world.backend.run(call._replace(argv=(member, *call.argv[1:])))
    await world.advance(hours=2)
    await clean(world, all_sandboxes=True)
    assert len(await due(world)) == 5
