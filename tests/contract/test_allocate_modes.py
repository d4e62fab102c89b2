"""allocate with modes: refuse or replace the session that exists, exactly once; and sessions without a TTL."""

from __future__ import annotations

import math

import pytest

from chuk_sessions import (
    AllocateMode,
    CorruptRecordError,
    SessionConflictError,
    SessionExistsError,
    SessionLimitError,
    SessionOwnerError,
    VersionConflictError,
    session_hash,
)
from chuk_sessions.core import data_operations, ids, modes, operations, statuses
from chuk_sessions.core.keys import session_keys

OTHER_MODES = pytest.mark.parametrize("mode", [AllocateMode.CREATE, "replace"])


@OTHER_MODES
async def test_creates_a_session_if_there_is_none(single, mode):
    manager = single.manager()
    assert await manager.allocate_session("s1", "alice", custom_metadata={"a": 1}, mode=mode) == "s1"
    info = await manager.get_session_metadata("s1")
    assert (info.user_id, info.custom_metadata, info.version) == ("alice", {"a": 1}, 1)


@OTHER_MODES
async def test_creates_a_session_under_a_fresh_id(single, mode):
    manager = single.manager()
    assert await manager.validate_session(await manager.allocate_session(mode=mode))


@OTHER_MODES
async def test_a_session_that_has_expired_leaves_nothing(single, mode):
    manager = single.manager()
    await manager.allocate_session("s1", "alice", ttl_hours=1, custom_metadata={"old": 1})
    await single.advance(hours=1)
    await manager.allocate_session("s1", custom_metadata={"new": 2}, mode=mode)
    info = await manager.get_session_metadata("s1")
    assert (info.user_id, info.custom_metadata, info.version) == (None, {"new": 2}, 1)


@pytest.mark.parametrize("mode", ["", "upsert", "TOUCH", None, 1, b"touch"])
@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_refuses_an_invalid_mode(single, mode, session_id):
    with pytest.raises(ValueError, match="mode must be 'touch', 'create' or 'replace'"):
        await single.manager().allocate_session(session_id, mode=mode)


@pytest.mark.parametrize("user_id", ["alice", "mallory", None])
async def test_create_refuses_a_live_session_and_changes_nothing(single, user_id):
    manager = single.manager(idle_timeout_seconds=60)
    await manager.allocate_session("s1", "alice", custom_metadata={"a": 1})
    before = await manager.get_session_metadata("s1")
    await single.advance(seconds=10)
    with pytest.raises(SessionExistsError) as caught:
        await manager.allocate_session("s1", user_id, custom_metadata={"b": 2}, mode="create")
    assert isinstance(caught.value, SessionConflictError)
    assert await manager.get_session_metadata("s1") == before


async def test_replace_takes_everything_from_the_new_call_except_the_version(single):
    await single.manager(idle_timeout_seconds=60).allocate_session("s1", "alice", 1, {"a": 1, "b": 1})
    manager = single.manager()
    await manager.update_session_metadata("s1", {"a": 2})
    before = await manager.get_session_metadata("s1")
    await single.advance(seconds=10)
    await manager.allocate_session("s1", "bob", 2, {"b": 3}, mode="replace")
    after = await manager.get_session_metadata("s1")
    assert (after.user_id, after.custom_metadata, after.version) == ("bob", {"b": 3}, before.version + 1)
    assert after.created_at > before.created_at
    assert after.last_accessed == after.created_at
    assert after.expires_at > before.expires_at
    await single.advance(seconds=90)
    assert await manager.validate_session("s1"), "the idle timeout is the new manager's: none"
    await single.advance(hours=2)
    assert not await manager.validate_session("s1")


async def test_replace_takes_over_the_idle_timeout_of_the_new_call(single):
    await single.manager().allocate_session("s1")
    manager = single.manager(idle_timeout_seconds=60)
    await manager.allocate_session("s1", mode="replace")
    await single.advance(seconds=60)
    assert not await manager.validate_session("s1")


async def test_a_writer_that_has_read_the_replaced_session_conflicts(single):
    manager = single.manager()
    await manager.allocate_session("s1")
    read = await manager.get_session_metadata("s1")
    await manager.allocate_session("s1", mode="replace")
    with pytest.raises(VersionConflictError):
        await manager.update_session_metadata("s1", {"a": 1}, expected_version=read.version)


async def test_sessions_that_replace_each_other_within_a_ms_have_different_creation_times(single):
    manager = single.manager()
    created = set()
    for _ in range(3):
        await manager.allocate_session("s1", mode="replace")
        created.add((await manager.get_session_metadata("s1")).created_at)
    assert len(created) == 3


async def test_replace_forgets_the_operation_ids_of_the_old_session(single):
    manager = single.manager()
    await manager.allocate_session("s1")
    assert await manager.increment_session_counter("s1", "n", idempotency_key="k") == (True, 1)
    await manager.allocate_session("s1", mode="replace")
    assert await manager.increment_session_counter("s1", "n", idempotency_key="k") == (True, 1)
    assert (await manager.get_session_metadata("s1")).custom_metadata == {"n": 1}


@pytest.mark.parametrize("new_user", ["bob", None])
async def test_replace_moves_the_session_to_its_new_user_in_the_index(world, new_user):
    manager = world.manager()
    await manager.allocate_session("s1", "alice")
    await manager.allocate_session("s1", new_user, mode="replace")
    assert await manager.list_user_sessions("alice") == []
    assert await manager.count_sessions(new_user) == await manager.count_sessions() == 1
    assert await manager.revoke_user_sessions("alice") == 0
    assert await manager.validate_session("s1")


async def test_replace_cannot_read_the_version_of_a_damaged_session(single):
    manager = single.manager()
    await manager.allocate_session("s1")
    await single.backend.run(data_operations.merge(session_keys("test", "s1"), pairs=[b"v", b"x"]))
    with pytest.raises(CorruptRecordError):
        await manager.allocate_session("s1", mode="replace")


def id_in_home_of(user_id):
    return ids.new_id(user_id, ids.home_bucket("test", user_id))


@pytest.mark.parametrize("when_full", ["evict", "refuse"])
async def test_a_user_at_the_cap_can_replace_an_own_session(world, when_full):
    manager = world.manager(max_sessions_per_user=2, when_full=when_full)
    mine = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    await manager.allocate_session(mine[0], "alice", custom_metadata={"a": 1}, mode="replace")
    assert [await manager.validate_session(session_id) for session_id in mine] == [True, True]


@pytest.mark.parametrize("when_full", ["evict", "refuse"])
async def test_the_cap_of_the_new_user_applies_to_a_replacement(world, when_full):
    manager = world.manager(max_sessions_per_user=2, when_full=when_full)
    taken = await manager.allocate_session(id_in_home_of("bob"), "alice")
    bobs = []
    for _ in range(2):
        bobs.append(await manager.allocate_session(user_id="bob"))
        await world.advance(ms=1)
    if when_full == "refuse":
        with pytest.raises(SessionLimitError):
            await manager.allocate_session(taken, "bob", mode="replace")
        assert (await manager.get_session_metadata(taken)).user_id == "alice"
        return
    await manager.allocate_session(taken, "bob", mode="replace")
    assert [await manager.validate_session(session_id) for session_id in (taken, *bobs)] == [True, False, True]
    assert await manager.count_sessions("alice") == 0


async def test_a_replacement_far_over_the_cap_evicts_others_and_never_itself(world):
    many, capped = world.manager(), world.manager(max_sessions_per_user=2)
    mine = [await many.allocate_session(user_id="alice") for _ in range(50)]
    await capped.allocate_session(mine[0], "alice", mode="replace")
    assert await many.validate_session(mine[0])
    assert await many.count_sessions("alice") == 50 - operations.MOST_LEAVING


async def test_replace_under_an_old_id_overwrites_the_session_that_replaced_the_id(single):
    manager = single.manager()
    old = await manager.allocate_session(custom_metadata={"a": 1})
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.allocate_session(old, "bob", custom_metadata={"b": 2}, mode="replace") == old
    for session_id in (old, new):
        info = await manager.get_session_metadata(session_id)
        assert (info.user_id, info.custom_metadata, info.version) == ("bob", {"b": 2}, 2)
    await single.advance(seconds=60)
    assert [await manager.validate_session(session_id) for session_id in (old, new)] == [False, True]


async def test_create_refuses_an_old_id_whose_session_is_alive(single):
    manager = single.manager(idle_timeout_seconds=100)
    old = await manager.allocate_session()
    middle = await manager.rotate_session(old, grace_seconds=1000)
    new = await manager.rotate_session(middle, grace_seconds=1000)
    await single.advance(seconds=99)
    with pytest.raises(SessionExistsError):
        await manager.allocate_session(old, mode="create")
    await single.advance(seconds=1)
    assert not await manager.validate_session(new), "the refusal is not an access"


@OTHER_MODES
async def test_an_old_id_whose_session_has_ended_gets_a_session_of_its_own(single, mode):
    manager = single.manager()
    old = await manager.allocate_session(custom_metadata={"old": 1})
    new = await manager.rotate_session(old, grace_seconds=1000)
    await manager.delete_session(new)
    await manager.allocate_session(old, custom_metadata={"new": 1}, mode=mode)
    assert (await manager.get_session_metadata(old)).custom_metadata == {"new": 1}
    assert not await manager.validate_session(new)


def option(call, name):
    """Return an option of an allocation, or None if the call leaves out all options."""
    names = call.operation.args
    return call.argv[names.index(name)] if call.argv[names.index("options")] else None


@OTHER_MODES
async def test_gives_up_when_other_callers_keep_rotating_the_id(single, mode):
    manager = single.manager()

    async def rotate(call):
        if call.operation is operations.ALLOCATE and option(call, "mode") not in (None, b"touch"):
            await manager.allocate_session("mine")
            await manager.delete_session(await manager.rotate_session("mine", grace_seconds=60))

    with pytest.raises(SessionConflictError, match="keeps changing"):
        await single.intercepted(rotate).allocate_session("mine", mode=mode)


async def test_refuses_a_chain_of_old_ids_that_is_too_long(single):
    manager = single.manager()
    first = newest = await manager.allocate_session()
    for _ in range(66):
        newest = await manager.rotate_session(newest, grace_seconds=1000)
    with pytest.raises(SessionConflictError, match="rotated too often"):
        await manager.allocate_session(first, mode="replace")


def attempt(operation_id, mode=modes.REPLACE, value=b"1", owner=b"", ttl_ms=10**7):
    """Return an attempt at creating the session `s1`, as often as the network may deliver it."""
    return operations.allocate(
        session_keys("test", "s1"), "test", ttl_ms=ttl_ms, idle_ms=0, owner=owner, user=7, cap=0, retention_ms=0,
        create=True, mode=mode, operation_id=operation_id, pairs=[b"m:n", value],
    )  # fmt: skip


async def state_of(world, session_id="s1"):
    return await world.backend.run(operations.read(session_keys("test", session_id)))


async def test_a_retried_create_finds_its_own_work(world):
    assert await world.backend.run(attempt(b"mine", modes.CREATE)) == [statuses.CREATED]
    await world.advance(ms=1)
    before = await state_of(world)
    assert await world.backend.run(attempt(b"mine", modes.CREATE)) == [statuses.CREATED]
    assert await state_of(world) == before
    assert await world.backend.run(attempt(b"other", modes.CREATE)) == [statuses.EXISTS]


async def test_a_late_replace_does_not_undo_a_later_one(world):
    await world.backend.run(attempt(b"first", value=b"1"))
    await world.backend.run(attempt(b"second", value=b"2"))
    before = await state_of(world)
    assert await world.backend.run(attempt(b"first", value=b"1")) == [statuses.CREATED]
    assert await state_of(world) == before


@pytest.mark.parametrize("mode", [modes.CREATE, modes.REPLACE])
async def test_a_late_attempt_does_not_revive_a_session_that_was_deleted_expired_or_rotated(world, mode):
    manager = world.manager()
    await world.backend.run(attempt(b"one", mode))
    await manager.delete_session("s1")
    await world.backend.run(attempt(b"two", mode))
    newer = await manager.rotate_session("s1")
    await world.backend.run(attempt(b"three", mode, ttl_ms=5))
    await world.advance(ms=5)
    await manager.cleanup_expired_sessions()
    for late in (b"one", b"two", b"three"):
        assert await world.backend.run(attempt(late, mode)) == [statuses.CREATED]
    assert await state_of(world) == [statuses.GONE]
    assert await manager.count_sessions() == await manager.validate_session(newer) == 1


async def test_an_id_remembers_its_last_16_creations(world):
    calls = [attempt(b"%d" % number, value=b"%d" % number) for number in range(17)]
    for call in calls:
        await world.backend.run(call)
        await world.advance(ms=1)
    before = await state_of(world)
    for call in calls[1:]:
        assert await world.backend.run(call) == [statuses.CREATED]
    assert await state_of(world) == before
    await world.backend.run(calls[0])
    assert await state_of(world) != before


async def test_an_id_remembers_its_creations_for_two_minutes(world):
    await world.backend.run(attempt(b"one", modes.CREATE))
    await world.advance(seconds=120, ms=-1)
    assert await world.backend.run(attempt(b"one", modes.CREATE)) == [statuses.CREATED]
    await world.advance(ms=1)
    assert await world.backend.run(attempt(b"one", modes.CREATE)) == [statuses.EXISTS]


async def test_every_call_has_an_operation_id_of_its_own(single):
    used = []

    async def note(call):
        if call.operation is operations.ALLOCATE:
            used.append(option(call, "operation"))

    manager = single.intercepted(note)
    for mode in ("create", "replace", "replace", "touch"):
        await manager.allocate_session("s1", mode=mode)
    assert len(set(used)) == 4
    assert used[-1] is None


def replacing(world, user_id, *, before):
    """Return a manager on whose calls of one operation another one replaces the session `mine` first, once."""
    waiting = [True]

    async def replace(call):
        if call.operation is before and waiting.pop() if waiting else False:
            await world.manager().allocate_session("mine", user_id, custom_metadata={"by": user_id}, mode="replace")

    return world.intercepted(replace)


@pytest.mark.parametrize("owner", ["alice", None])
async def test_a_login_neither_takes_nor_deletes_another_users_session_that_replaced_its_own(world, owner):
    """All happens in the same ms."""
    manager = world.manager()
    await manager.allocate_session("mine", owner)
    racing = replacing(world, "bob", before=operations.DELETE)
    assert await racing.rotate_session("mine", user_id="carol") is None
    info = await manager.get_session_metadata("mine")
    assert (info.user_id, info.custom_metadata) == ("bob", {"by": "bob"})
    assert await manager.count_sessions("carol") == 0


async def test_a_rotation_does_not_take_another_users_session_that_replaced_its_own(single):
    manager = single.manager()
    await manager.allocate_session("mine", "alice")
    racing = replacing(single, "bob", before=operations.ROTATE)
    assert await racing.rotate_session("mine") is None
    assert (await manager.get_session_metadata("mine")).user_id == "bob"


@pytest.mark.parametrize("login", ["carol", None])
async def test_a_session_that_the_same_user_replaces_meanwhile_is_rotated(single, login):
    manager = single.manager()
    await manager.allocate_session("mine", custom_metadata={"old": 1})
    racing = replacing(single, None, before=operations.DELETE if login else operations.ROTATE)
    new = await racing.rotate_session("mine", user_id=login)
    info = await manager.get_session_metadata(new)
    assert (info.user_id, info.custom_metadata) == (login, {"by": None})
    assert not await manager.validate_session("mine")


async def test_a_session_that_is_replaced_during_its_deletion_is_deleted(single):
    manager = single.manager()
    await manager.allocate_session("mine")
    assert await replacing(single, "bob", before=operations.DELETE).delete_session("mine")
    assert not await manager.validate_session("mine")


@pytest.mark.parametrize("new_owner", ["alice", "bob"])
async def test_a_revocation_by_reference_finds_a_session_that_the_same_user_replaces_meanwhile(single, new_owner):
    manager = single.manager()
    await manager.allocate_session("mine", "alice")
    racing = replacing(single, new_owner, before=operations.DELETE)
    assert await racing.revoke_session(session_hash("mine"), user_id="alice") is (new_owner == "alice")
    assert await manager.validate_session("mine") is (new_owner == "bob")


async def test_gives_up_to_delete_a_session_that_keeps_being_replaced(single):
    async def replace(call):
        if call.operation is operations.DELETE:
            await single.manager().allocate_session("mine", mode="replace")

    await single.manager().allocate_session("mine")
    with pytest.raises(SessionConflictError, match="keeps changing"):
        await single.intercepted(replace).delete_session("mine")


@pytest.mark.parametrize("session_id", [None, "s1"])
async def test_an_infinite_ttl_ends_with_the_year_9999(single, session_id):
    manager = single.manager()
    session_id = await manager.allocate_session(session_id, ttl_hours=math.inf)
    info = await manager.get_session_info(session_id)
    assert info["expires_at"].startswith("9999-12-31T23:59:59.999")
    await single.advance(hours=300 * 366 * 24)
    assert await manager.validate_session(session_id)
    with pytest.raises(ValueError, match="9999"):
        await manager.extend_session_ttl(session_id, 1)


async def test_a_session_with_an_infinite_ttl_expires_when_it_is_idle(single):
    manager = single.manager(idle_timeout_seconds=60)
    session_id = await manager.allocate_session(ttl_hours=math.inf)
    await single.advance(seconds=59)
    assert await manager.validate_session(session_id)
    await single.advance(seconds=60)
    assert not await manager.validate_session(session_id)


async def test_a_replacement_may_have_an_infinite_ttl_and_lose_it_again(single):
    manager = single.manager()
    await manager.allocate_session("s1", ttl_hours=1)
    await manager.allocate_session("s1", ttl_hours=math.inf, mode="replace")
    await single.advance(hours=2)
    assert await manager.validate_session("s1")
    await manager.allocate_session("s1", ttl_hours=1, mode="replace")
    await single.advance(hours=1)
    assert not await manager.validate_session("s1")


async def test_touch_refuses_another_user_of_a_replaced_session(single):
    manager = single.manager()
    await manager.allocate_session("s1", "alice")
    await manager.allocate_session("s1", "bob", mode="replace")
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("s1", "alice", mode="touch")
