"""allocate: create a session, or touch the one that exists."""

from __future__ import annotations

import math
import re

import pytest

from chuk_sessions import (
    SessionConflictError,
    SessionLimitError,
    SessionOwnerError,
    SessionUnavailableError,
    session_hash,
)
from chuk_sessions.core import data_operations, ids, index_operations, operations, statuses
from chuk_sessions.core.ids import home_bucket, locate
from chuk_sessions.core.keys import SessionKeys, session_keys
from tests.harness.references import listed, references


async def test_returns_an_id_that_is_valid(single):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"role": "admin"})
    assert re.fullmatch(r"sess-alice-\d{10}-[0-9a-f]{34}", session_id)
    assert await manager.validate_session(session_id)


@pytest.mark.parametrize("user_id", ["!!!", None])
async def test_leaves_the_user_part_out_when_nothing_is_left_of_it(world, user_id):
    session_id = await world.manager().allocate_session(user_id=user_id)
    assert re.fullmatch(r"sess-\d{10}-[0-9a-f]{34}", session_id)


async def test_keeps_eight_letters_and_digits_of_the_user(world):
    session_id = await world.manager().allocate_session(user_id="José_María-2024")
    assert session_id.startswith("sess-JosMara2-")


async def test_an_id_generated_for_a_user_is_in_the_users_home_bucket(world):
    session_id = await world.manager("shop").allocate_session(user_id="alice")
    assert locate(session_id)[0] == home_bucket("shop", "alice")


async def test_creates_a_session_with_an_unknown_id_that_the_caller_chose(single):
    manager = single.manager()
    assert await manager.allocate_session("my-own:id@1") == "my-own:id@1"
    assert await manager.validate_session("my-own:id@1")


async def test_touches_a_live_session_and_changes_nothing_else(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice", custom_metadata={"a": 1})
    before = await manager.get_session_metadata("s1")
    await single.advance(seconds=10)
    assert await manager.allocate_session("s1", user_id="alice", ttl_hours=9, custom_metadata={"b": 2}) == "s1"
    after = await manager.get_session_metadata("s1")
    assert after.custom_metadata == {"a": 1}
    assert after.expires_at == before.expires_at
    assert after.last_accessed > before.last_accessed


async def test_touches_a_session_of_a_user_without_a_user_id(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice")
    assert await manager.allocate_session("s1") == "s1"
    assert (await manager.get_session_metadata("s1")).user_id == "alice"


@pytest.mark.parametrize("owner", ["alice", None])
async def test_refuses_another_user(single, owner):
    manager = single.manager()
    await manager.allocate_session("s1", user_id=owner)
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("s1", user_id="mallory")
    assert (await manager.get_session_metadata("s1")).user_id == owner


async def test_an_expired_session_leaves_nothing_to_a_new_one_of_the_same_id(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice", ttl_hours=1, custom_metadata={"old": 1})
    await single.advance(hours=1, ms=1)
    await manager.allocate_session("s1", user_id="bob", custom_metadata={"new": 2})
    info = await manager.get_session_metadata("s1")
    assert (info.user_id, info.custom_metadata, info.version) == ("bob", {"new": 2}, 1)


async def test_a_new_session_without_a_user_removes_the_old_user_from_the_index(world):
    manager = world.manager()
    await manager.allocate_session("s1", user_id="alice", ttl_hours=1)
    await world.advance(hours=1, ms=1)
    await manager.allocate_session("s1")
    assert await manager.count_sessions("alice") == 0
    assert await manager.count_sessions() == 1


@pytest.mark.parametrize("hours", [0, -1, 0.0, math.nan, -math.inf, 10**400, True, "8", None])
async def test_refuses_invalid_ttls(single, hours):
    manager = single.manager()
    if hours is None:
        with pytest.raises(ValueError, match="default_ttl_hours"):
            single.manager(default_ttl_hours=hours)
        return
    with pytest.raises(ValueError, match="ttl_hours"):
        await manager.allocate_session("s1", ttl_hours=hours)
    assert not await manager.validate_session("s1")


async def test_accepts_fractions_of_hours(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=0.25)
    await single.advance(seconds=15 * 60 - 1)
    assert await manager.validate_session(session_id)
    await single.advance(seconds=1)
    assert not await manager.validate_session(session_id)


@pytest.mark.parametrize(
    "session_id",
    ["", ".", "..", "a/b", "a{b", "a}b", "a b", "a\nb", "a*b", "a?b", "[a]", "a\\b", "^a", "é", "a" * 201, 7],
)
async def test_refuses_ids_that_could_forge_a_key_or_path(single, session_id):
    with pytest.raises(ValueError, match="session_id"):
        await single.manager().allocate_session(session_id)


@pytest.mark.parametrize("user_id", ["", "u" * 513, 7, b"alice"])
async def test_refuses_invalid_users(single, user_id):
    with pytest.raises(ValueError, match="user_id"):
        await single.manager().allocate_session(user_id=user_id)


@pytest.mark.parametrize("user_id", ["a/b{c}*", "ünï¢ödé 名前", "\ud800", "x" * 512, "\x00\n"])
async def test_accepts_any_text_as_user(world, user_id):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id=user_id)
    assert (await manager.get_session_metadata(session_id)).user_id == user_id
    assert await manager.count_sessions(user_id) == 1


async def test_sandboxes_with_the_same_id_do_not_see_each_other(single):
    a, b = single.manager("tenant-a"), single.manager("tenant-b")
    await a.allocate_session("s1", user_id="alice", custom_metadata={"of": "a"})
    assert not await b.validate_session("s1")
    assert await b.get_session_info("s1") is None
    assert not await b.delete_session("s1")
    assert not await b.update_session_metadata("s1", {"of": "b"})
    await b.allocate_session("s1", user_id="bob", custom_metadata={"of": "b"})
    assert (await a.get_session_info("s1"))["custom_metadata"] == {"of": "a"}
    assert (await b.get_session_info("s1"))["custom_metadata"] == {"of": "b"}


async def test_a_full_cap_evicts_the_oldest_session(world):
    manager = world.manager(max_sessions_per_user=3)
    created = []
    for hours in (1, 9, 5, 7, 3):
        created.append(await manager.allocate_session(user_id="alice", ttl_hours=hours))
        await world.advance(ms=5)
    assert [await manager.validate_session(session_id) for session_id in created] == [False, False, True, True, True]
    assert await manager.count_sessions("alice") == 3


async def test_gives_up_when_other_callers_keep_taking_the_room_under_the_cap(world):
    async def take(call):
        if call.operation is operations.ALLOCATE:
            await world.manager().allocate_session(user_id="alice")

    with pytest.raises(SessionLimitError, match="keep filling"):
        await world.intercepted(take, max_sessions_per_user=1).allocate_session(user_id="alice")
    assert await world.manager().count_sessions("alice") > 1


async def test_gives_up_when_other_callers_keep_rotating_its_id(single):
    manager = single.manager()

    async def rotate(call):
        if call.operation is operations.ALLOCATE:
            await manager.allocate_session("mine")
            await manager.delete_session(await manager.rotate_session("mine", grace_seconds=60))

    with pytest.raises(SessionConflictError, match="keeps changing"):
        await single.intercepted(rotate).allocate_session("mine")


async def test_a_full_cap_refuses_a_new_session_with_when_full_refuse(world):
    manager = world.manager(max_sessions_per_user=2, when_full="refuse")
    created = [await manager.allocate_session(user_id="alice", ttl_hours=1) for _ in range(2)]
    with pytest.raises(SessionLimitError):
        await manager.allocate_session(user_id="alice")
    assert [await manager.validate_session(session_id) for session_id in created] == [True, True]
    await manager.allocate_session(user_id="bob")
    await world.advance(hours=1, ms=1)
    await manager.allocate_session(user_id="alice")


async def test_a_lowered_cap_evicts_down_to_the_cap(world):
    many = world.manager()
    for _ in range(5):
        await many.allocate_session(user_id="alice")
        await world.advance(ms=1)
    await world.manager(max_sessions_per_user=2).allocate_session(user_id="alice")
    assert await many.count_sessions("alice") == 2


async def test_removes_expired_sessions_of_its_bucket_once_there_are_16(world):
    manager = world.manager()
    old = [await manager.allocate_session(user_id="alice", ttl_hours=1) for _ in range(16)]
    index = session_keys("test", old[0]).index_keys
    await world.advance(hours=2)
    await manager.allocate_session(user_id="alice")
    assert (await world.backend.run(index_operations.sweep(index, "test")))[2] == []


async def test_an_allocation_succeeds_when_the_removal_of_expired_sessions_fails(world):
    async def fail(call):
        if call.operation is index_operations.SWEEP:
            raise SessionUnavailableError("no connection")

    for _ in range(16):
        await world.manager().allocate_session(user_id="alice", ttl_hours=1)
    await world.advance(hours=2)
    session_id = await world.intercepted(fail).allocate_session(user_id="alice")
    assert await world.manager().validate_session(session_id)


async def test_evicts_only_sessions_that_the_user_still_has_and_no_more_than_necessary(world):
    manager = world.manager()
    home = home_bucket("test", "alice")
    mine = [ids.new_id("alice", home) for _ in range(3)]
    for session_id in mine:
        await manager.allocate_session(session_id, user_id="alice")
    await manager.delete_session(mine[0])
    await manager.allocate_session(mine[0], user_id="bob")
    call = operations.allocate(
        session_keys("test", ids.new_id("alice", home)), "test", ttl_ms=10**6, idle_ms=0, owner=b"alice",
        user=ids.user_hash("alice"), cap=2, retention_ms=0, create=True,
        victims=[session_keys("test", session_id) for session_id in mine],
    )  # fmt: skip
    assert await world.backend.run(call) == [statuses.CREATED]
    assert [await manager.validate_session(session_id) for session_id in mine] == [True, False, True]
    assert await manager.count_sessions("alice") == 2


async def test_evicts_an_unreadable_record_first(world):
    manager = world.manager(max_sessions_per_user=2)
    good, bad = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    await world.backend.run(data_operations.merge(session_keys("test", bad), pairs=[b"c", b"soon"]))
    await manager.allocate_session(user_id="alice")
    assert [await manager.validate_session(session_id) for session_id in (good, bad)] == [True, False]
    assert len(await manager.list_user_sessions("alice")) == 2


@pytest.mark.parametrize("metadata", [[], 0, "", False])
async def test_refuses_metadata_that_is_not_a_dict_even_if_it_is_empty(single, metadata):
    with pytest.raises(ValueError, match="dict"):
        await single.manager().allocate_session(custom_metadata=metadata)


@pytest.fixture
def same_hash_for_all_users(monkeypatch):
    """Give all users the same hash and the same home bucket."""
    monkeypatch.setattr(ids, "user_hash", lambda user_id: 7)
    monkeypatch.setattr(ids, "home_bucket", lambda sandbox_id, user_id: 7)


@pytest.mark.usefixtures("same_hash_for_all_users")
async def test_a_cap_ignores_sessions_of_another_user_with_the_same_hash(world):
    manager = world.manager(max_sessions_per_user=2)
    bobs = [await manager.allocate_session(user_id="bob") for _ in range(2)]
    await world.advance(ms=1)
    alices = [await manager.allocate_session(user_id="alice") for _ in range(3)]
    assert [await manager.validate_session(session_id) for session_id in bobs] == [True, True]
    left = await listed(manager, "alice")
    assert len(left) == 2
    assert session_hash(alices[-1]) in left


@pytest.mark.usefixtures("same_hash_for_all_users")
async def test_a_cap_does_not_refuse_a_user_because_of_another_users_sessions(world):
    manager = world.manager(max_sessions_per_user=2, when_full="refuse")
    for user in ("bob", "alice"):
        for _ in range(2):
            await manager.allocate_session(user_id=user)
        with pytest.raises(SessionLimitError, match="2 sessions; 2 are allowed"):
            await manager.allocate_session(user_id=user)


@pytest.mark.parametrize("when_full", ["evict", "refuse"])
@pytest.mark.parametrize("number", [3, 100])
async def test_expired_sessions_do_not_count_toward_a_cap_however_many_there_are(world, when_full, number):
    manager = world.manager(max_sessions_per_user=3, when_full=when_full)
    for _ in range(number):
        await world.manager().allocate_session(user_id="alice", ttl_hours=1)
    kept = [await world.manager().allocate_session(user_id="alice") for _ in range(2)]
    await world.advance(hours=2)
    kept.append(await manager.allocate_session(user_id="alice"))
    assert [await manager.validate_session(session_id) for session_id in kept] == [True] * 3
    assert await manager.count_sessions("alice") == 3


async def test_a_user_far_over_the_cap_loses_a_bounded_number_of_sessions_per_call(world):
    many, capped = world.manager(), world.manager(max_sessions_per_user=2)
    for _ in range(80):
        await many.allocate_session(user_id="alice")
    counts = []
    for _ in range(4):
        newest = await capped.allocate_session(user_id="alice")
        counts.append(await many.count_sessions("alice"))
        assert await many.validate_session(newest)
    assert counts == [80 + 1 - operations.MOST_LEAVING, 80 + 2 - 2 * operations.MOST_LEAVING, 2, 2]


async def test_the_cost_of_a_full_cap_does_not_grow_with_the_users_sessions(world):
    home = home_bucket("test", "alice")
    for _ in range(200):
        await world.manager().allocate_session(user_id="alice")
    call = operations.allocate(
        session_keys("test", ids.new_id("alice", home)), "test", ttl_ms=10**6, idle_ms=0, owner=b"alice",
        user=ids.user_hash("alice"), cap=2, retention_ms=0, create=True,
    )  # fmt: skip
    status, handles = await world.backend.run(call)
    assert status == statuses.FULL
    assert len(handles) == 2 + operations.MOST_LEAVING


async def test_an_expired_session_that_is_created_again_under_a_cap_counts_once(world):
    manager = world.manager(max_sessions_per_user=1)
    session_id = ids.new_id("alice", home_bucket("test", "alice"))
    await manager.allocate_session(session_id, user_id="alice", ttl_hours=1)
    await world.advance(hours=2)
    await manager.allocate_session(session_id, user_id="alice")
    assert await manager.validate_session(session_id)
    assert await listed(manager, "alice") == references([session_id])


@pytest.mark.parametrize("damage", [[b"d", b"soon"], [b"a", b"0x10"], [b"v", b"", b"c", b""]])
async def test_a_damaged_record_is_evicted_at_a_full_cap(world, damage):
    manager = world.manager(max_sessions_per_user=2)
    good, bad = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    await world.backend.run(data_operations.merge(session_keys("test", bad), pairs=damage))
    newest = await manager.allocate_session(user_id="alice")
    assert [await manager.validate_session(session_id) for session_id in (good, bad, newest)] == [True, False, True]


async def test_an_index_entry_without_a_session_does_not_count_toward_a_cap(world):
    manager = world.manager(max_sessions_per_user=2)
    good = await manager.allocate_session(user_id="alice")
    index = session_keys("test", good).index_keys
    call = operations.allocate(
        SessionKeys(b"\xff{x}/", f"{index.records}odd", index), "test", ttl_ms=10**6, idle_ms=0, owner=b"alice",
        user=ids.user_hash("alice"), cap=0, retention_ms=0, create=True,
    )  # fmt: skip
    await world.backend.run(call)
    newest = await manager.allocate_session(user_id="alice")
    assert [await manager.validate_session(session_id) for session_id in (good, newest)] == [True, True]
