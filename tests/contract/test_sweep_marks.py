"""sweep and marks in the index: sessions that emit events are listed apart, and no list or count differs by a mark."""

from __future__ import annotations

import pytest

from chuk_sessions.core import event_entries, ids, index_operations, keys, modes, operations, statuses
from chuk_sessions.core.keys import session_keys
from tests.harness.references import listed, references

TTL_MS = 3_600_000
BUCKET = ids.home_bucket("test", "alice")


def id_number(number):
    return f"sess-alice-{1_700_000_000 + number}-{BUCKET:02x}{number:032x}"


def creation(session_id, *, events=True, ttl_ms=TTL_MS, idle_ms=0, mode=modes.TOUCH, operation_id=b""):
    return operations.allocate(
        session_keys("test", session_id), "test", ttl_ms=ttl_ms, idle_ms=idle_ms, owner=b"alice",
        user=ids.user_hash("alice"), cap=0, retention_ms=300_000, create=True, mode=mode, operation_id=operation_id,
        events=event_entries.DEFAULT_CAP if events else 0,
    )  # fmt: skip


def manager_with(world, *, events, **options):
    """Return a manager whose sessions emit events, or do not."""
    return world.manager(events=events, **options)


async def is_marked(world, session_id):
    """Return whether the index entry of the only session in its bucket has a mark, and check that the record agrees."""
    target = session_keys("test", session_id)
    reply = await world.backend.run(index_operations.list_(target.index_keys, user=None, limit=1))
    assert reply[1] == [target.handle]
    fields = (await world.backend.run(operations.read(target)))[1]
    assert (b"e" in fields[::2]) is (float(reply[2]) % 1 == 0.5)
    return b"e" in fields[::2]


async def listed_by_sweep(world, session_id):
    call = index_operations.sweep(session_keys("test", session_id).index_keys, "test")
    return await world.backend.run(call)


async def test_lists_sessions_that_emit_events_apart(world):
    silent, marked = [id_number(number) for number in (0, 2)], [id_number(number) for number in (1, 3)]
    for session_id in (*silent, *marked):
        await world.backend.run(creation(session_id, events=session_id in marked))
    await world.advance(ms=TTL_MS)
    status, removed, *found = await listed_by_sweep(world, silent[0])
    assert (status, removed) == (statuses.OK, 0)
    expected = [{session_keys("test", session_id).handle for session_id in group} for group in (silent, marked)]
    assert [set(handles) for handles in found] == expected


async def test_lists_no_more_of_both_kinds_than_its_limit(world):
    for number in range(20):
        await world.backend.run(creation(id_number(number), events=number % 2 == 1))
    await world.advance(ms=TTL_MS)
    call = index_operations.sweep(keys.index("test", BUCKET), "test")
    limited = call._replace(argv=(call.argv[0], 5))
    _, _, silent, marked = await world.backend.run(limited)
    assert len(silent) + len(marked) == 5


@pytest.mark.parametrize("all_sandboxes", [False, True])
async def test_removes_marked_sessions_like_the_others(world, all_sandboxes):
    manager = manager_with(world, events=True)
    for number in range(520):
        await world.backend.run(creation(id_number(number), events=number % 3 == 0))
    own = await manager.allocate_session(user_id="alice", ttl_hours=1)
    kept = await manager.allocate_session(user_id="alice", ttl_hours=2)
    await world.advance(ms=TTL_MS)
    assert await manager.cleanup_expired_sessions(all_sandboxes=all_sandboxes) == 521
    assert await manager.cleanup_expired_sessions(all_sandboxes=all_sandboxes) == 0
    assert not await manager.validate_session(own)
    assert await listed(manager, "alice") == references([kept])


async def test_an_allocation_lists_expired_sessions_apart_and_the_manager_removes_all(world):
    for number in range(17):
        await world.backend.run(creation(id_number(number), events=number < 3))
    await world.advance(ms=TTL_MS)
    status, silent, marked = await world.backend.run(creation(id_number(20), events=False))
    assert status == statuses.CREATED
    assert {session_keys("test", id_number(number)).handle for number in range(3)} == set(marked)
    assert len(silent) == 13
    await world.manager().allocate_session(id_number(21))
    assert sum(map(len, (await listed_by_sweep(world, id_number(0)))[2:])) == 1


@pytest.mark.parametrize("events", [False, True])
async def test_a_session_is_alive_in_the_last_ms_before_its_deadline_and_not_at_it(world, events):
    manager, session_id = world.manager(), id_number(0)
    index, alice = keys.index("test", BUCKET), ids.user_hash("alice")
    await world.backend.run(creation(session_id, events=events))
    for alive in (True, False):
        await world.advance(ms=TTL_MS - 1 if alive else 1)
        assert await manager.count_sessions() == await manager.count_sessions("alice") == int(alive)
        assert await manager.list_sessions() == references([session_id] * alive)
        assert len(await manager.list_user_sessions("alice")) == int(alive)
        for user in (None, alice):
            assert len((await world.backend.run(index_operations.list_(index, user=user, limit=9)))[1]) == int(alive)
        assert (await world.backend.run(index_operations.due(index.sandboxes)))[1] == [] if alive else [b"test"]
        assert sum(map(len, (await listed_by_sweep(world, session_id))[2:])) == int(not alive)
        assert await manager.validate_session(session_id) is alive


async def test_a_sandbox_with_a_marked_session_is_due_when_the_session_has_expired(world):
    await world.backend.run(creation(id_number(0)))
    await world.advance(ms=TTL_MS - 1)
    assert await world.backend.run(index_operations.due(keys.sandboxes(BUCKET))) == [statuses.OK, []]
    await world.advance(ms=1)
    assert await world.backend.run(index_operations.due(keys.sandboxes(BUCKET))) == [statuses.OK, [b"test"]]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_with_marked_sessions_omit_and_repeat_none(world, limit):
    handles = set()
    for number in range(12):
        await world.backend.run(creation(id_number(number), events=number % 2 == 1, ttl_ms=TTL_MS + number // 4))
        handles.add(session_keys("test", id_number(number)).handle)
    found, after = [], index_operations.START
    while after is not None:
        call = index_operations.list_(keys.index("test", BUCKET), user=None, limit=limit, after=after)
        reply = await world.backend.run(call)
        found += reply[1]
        after = index_operations.cursor(reply)
    assert len(found) == len(handles)
    assert set(found) == handles


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("idle", [None, 60])
async def test_no_change_of_the_expiry_changes_the_mark(world, events, idle):
    """A manager that ends or touches a session may have another setting than the one that created it."""
    creator = manager_with(world, events=events, idle_timeout_seconds=idle)
    changer = manager_with(world, events=not events, idle_timeout_seconds=idle)
    session_id = await creator.allocate_session(user_id="alice")
    assert await is_marked(world, session_id) is events
    await world.advance(seconds=1)
    await changer.validate_session(session_id)
    assert await is_marked(world, session_id) is events
    await world.advance(seconds=1)
    await changer.allocate_session(session_id)
    assert await is_marked(world, session_id) is events
    await changer.extend_session_ttl(session_id, 1)
    assert await is_marked(world, session_id) is events
    await changer.update_session_metadata(session_id, {"a": 1}, merge=False, ttl_seconds=9000)
    assert await is_marked(world, session_id) is events
    await changer.set_session_ttl(session_id, 0.5)
    assert await is_marked(world, session_id) is events
    await world.advance(seconds=1)
    await changer.load_session(session_id)
    assert await is_marked(world, session_id) is events
    session_id = await changer.rotate_session(session_id)
    assert await is_marked(world, session_id) is events
    await world.advance(seconds=1)
    await changer.validate_session(session_id)
    assert await is_marked(world, session_id) is events


@pytest.mark.parametrize("events", [False, True])
async def test_a_rotation_to_the_home_bucket_keeps_the_mark(world, events):
    await manager_with(world, events=events).allocate_session("own", "alice")
    changer = manager_with(world, events=not events, max_sessions_per_user=5)
    assert await is_marked(world, await changer.rotate_session("own")) is events


@pytest.mark.parametrize("events", [False, True])
async def test_the_manager_decides_at_login_and_when_it_replaces_a_session(world, events):
    old, new = manager_with(world, events=not events), manager_with(world, events=events)
    guest = await old.allocate_session("guest")
    assert await is_marked(world, guest) is not events
    await new.allocate_session("guest", mode="replace")
    assert await is_marked(world, guest) is events
    await old.allocate_session("guest", mode="replace")
    session_id = await new.rotate_session(guest, user_id="alice")
    assert await is_marked(world, session_id) is events
    assert await is_marked(world, await old.rotate_session(session_id, user_id="alice")) is not events


async def test_a_custom_provider_has_no_events(single):
    session_id = "s1"
    await single.backend.run(creation(session_id))
    assert await single.manager().validate_session(session_id)
    assert await single.manager().validate_session(await single.manager().rotate_session(session_id))
