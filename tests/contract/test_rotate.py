"""rotate: give a session a new id and, at login, a new owner."""

from __future__ import annotations

import asyncio
import math

import pytest

from chuk_sessions import (
    CorruptRecordError,
    OutcomeUnknownError,
    SessionConflictError,
    SessionLimitError,
    SessionOwnerError,
    SessionRotatedError,
    SessionUnavailableError,
    VersionConflictError,
)
from chuk_sessions.core import data_operations, ids, keys, operations, statuses
from chuk_sessions.core.durations import LATEST_MS
from chuk_sessions.core.ids import home_bucket, locate
from chuk_sessions.models import iso_from_ms
from tests.harness.references import listed, references


async def test_gives_a_new_id_and_keeps_data_and_deadline(single):
    manager = single.manager()
    old = await manager.allocate_session(user_id="alice", ttl_hours=3, custom_metadata={"a": [1]})
    before = await manager.get_session_metadata(old)
    await single.advance(seconds=5)
    new = await manager.rotate_session(old)
    after = await manager.get_session_metadata(new)
    assert new != old
    assert locate(new)[0] == locate(old)[0]
    assert (after.user_id, after.custom_metadata, after.expires_at, after.created_at, after.version) == (
        before.user_id, before.custom_metadata, before.expires_at, before.created_at, before.version,
    )  # fmt: skip
    assert not await manager.validate_session(old)


async def test_honors_the_old_id_during_the_grace_period_only(single):
    manager = single.manager()
    old = await manager.allocate_session(custom_metadata={"a": 1})
    new = await manager.rotate_session(old, grace_seconds=30)
    await single.advance(seconds=29)
    assert await manager.validate_session(old)
    assert await manager.update_session_metadata(old, {"b": 2})
    assert await manager.increment_session_counter(old, "n") == (True, 1)
    assert await manager.extend_session_ttl(old, 1)
    assert await manager.allocate_session(old) == old
    assert (await manager.get_session_info(new))["custom_metadata"] == {"a": 1, "b": 2, "n": 1}
    await single.advance(seconds=1)
    assert not await manager.validate_session(old)
    assert await manager.validate_session(new)


async def test_a_holder_of_the_old_id_never_learns_the_new_one(single):
    manager = single.manager()
    old = await manager.allocate_session(user_id="alice")
    await manager.rotate_session(old, grace_seconds=30)
    assert (await manager.get_session_info(old))["session_id"] == old
    for user_id in (None, "alice", "mallory"):
        with pytest.raises(SessionRotatedError):
            await manager.rotate_session(old, user_id=user_id)


async def test_one_of_many_concurrent_rotations_succeeds(single):
    manager = single.manager()
    old = await manager.allocate_session()
    answers = await asyncio.gather(
        *(manager.rotate_session(old, grace_seconds=30) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, SessionRotatedError) for answer in answers) == 19


async def test_old_ids_still_work_after_several_rotations(single):
    manager = single.manager()
    chain = [await manager.allocate_session(custom_metadata={"a": 1})]
    for _ in range(5):
        chain.append(await manager.rotate_session(chain[-1], grace_seconds=60))
    assert [await manager.validate_session(session_id) for session_id in chain] == [True] * 6
    assert await manager.delete_session(chain[0])
    assert [await manager.validate_session(session_id) for session_id in chain] == [False] * 6


async def test_old_ids_are_neither_listed_nor_counted(world):
    manager = world.manager()
    old = await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.list_sessions() == references([new])
    assert await manager.count_sessions("alice") == 1
    assert await listed(manager, "alice") == references([new])


async def test_an_old_id_expires_with_its_session(single):
    manager = single.manager()
    old = await manager.allocate_session(ttl_hours=1)
    await manager.rotate_session(old, grace_seconds=7200)
    await single.advance(hours=1)
    assert not await manager.validate_session(old)


async def test_an_old_id_whose_session_is_gone_can_be_used_again(single):
    manager = single.manager()
    old = await manager.allocate_session("mine", custom_metadata={"a": 1})
    new = await manager.rotate_session(old, grace_seconds=60)
    await manager.delete_session(new)
    assert await manager.allocate_session("mine") == "mine"
    assert (await manager.get_session_info("mine"))["custom_metadata"] == {}


async def test_keeps_operation_ids(single):
    manager = single.manager()
    old = await manager.allocate_session()
    await manager.increment_session_counter(old, "n", idempotency_key="once")
    new = await manager.rotate_session(old)
    assert await manager.increment_session_counter(new, "n", idempotency_key="once") == (True, 1)
    newer = await manager.rotate_session(new, user_id="alice")
    assert await manager.increment_session_counter(newer, "n", idempotency_key="once") == (True, 1)


async def test_a_login_gives_the_session_to_the_user_and_invalidates_the_old_id(single):
    manager = single.manager(idle_timeout_seconds=900)
    old = await manager.allocate_session(custom_metadata={"cart": [1, 2]})
    new = await manager.rotate_session(old, user_id="alice")
    after = await manager.get_session_metadata(new)
    assert not await manager.validate_session(old)
    assert new.startswith("sess-alice-")
    assert locate(new)[0] == home_bucket("test", "alice")
    assert (after.user_id, after.custom_metadata) == ("alice", {"cart": [1, 2]})
    await single.advance(seconds=900)
    assert not await manager.validate_session(new)


LOGINS = {"a guest's": None, "the same user's": "alice", "another user's": "bob"}
each_login = pytest.mark.parametrize("owner", LOGINS.values(), ids=LOGINS)


@each_login
@pytest.mark.parametrize("ttl_hours", [None, 0.1, 7.5, math.inf])
async def test_a_login_starts_a_new_lifetime(single, owner, ttl_hours):
    old = await single.manager(idle_timeout_seconds=60).allocate_session(user_id=owner, ttl_hours=0.01)
    before = await single.manager().get_session_metadata(old)
    await single.advance(seconds=30)
    manager = single.manager(default_ttl_hours=2, idle_timeout_seconds=300)
    new = await manager.rotate_session(old, user_id="alice", ttl_hours=ttl_hours)
    after = await manager.get_session_metadata(new)
    now = single.clock.now_ms()
    lifetime = math.inf if ttl_hours == math.inf else 3_600_000 * (ttl_hours or 2)
    assert after.user_id == "alice"
    assert after.created_at == after.last_accessed == iso_from_ms(now)
    assert after.expires_at == iso_from_ms(min(int(now + min(lifetime, 10**15)), LATEST_MS))
    assert after.version == before.version + 1
    await single.advance(seconds=300, ms=-1)
    assert await manager.validate_session(new)
    await single.advance(seconds=300)
    assert not await manager.validate_session(new)


@each_login
async def test_a_login_with_a_manager_without_an_idle_timeout_removes_it(single, owner):
    old = await single.manager(idle_timeout_seconds=60).allocate_session(user_id=owner)
    new = await single.manager().rotate_session(old, user_id="alice", ttl_hours=2)
    await single.advance(hours=2, ms=-1)
    assert await single.manager().validate_session(new)
    await single.advance(ms=1)
    assert not await single.manager().validate_session(new)


@each_login
async def test_a_login_moves_the_times_in_the_indexes_too(world, owner):
    manager = world.manager()
    old = await manager.allocate_session(user_id=owner, ttl_hours=3)
    new = await manager.rotate_session(old, user_id="alice", ttl_hours=1)
    assert await manager.list_sessions() == references([new])
    assert await manager.count_sessions("alice") == 1
    await world.advance(hours=1)
    assert await manager.count_sessions() == 0
    assert await manager.cleanup_expired_sessions(all_sandboxes=True) == 1


@each_login
async def test_a_login_copies_the_fields_that_belong_to_the_data(single, owner):
    """One user's data is not copied for another. Limits are: logging in must not reset them."""
    manager = single.manager(idle_timeout_seconds=600)
    old = await manager.allocate_session(user_id=owner, custom_metadata={"cart": [1]})
    assert await manager.rate_limit_session(old, "logins", 1, 600)
    extra = {b"s": b"salt", b"e": b"1", b"t": b"9", b"g:jti": b"8", b"?": b"unknown"}
    await single.backend.run(
        data_operations.merge(keys.session_keys("test", old), pairs=[part for pair in extra.items() for part in pair])
    )
    new = await manager.rotate_session(old, user_id="alice")
    found = await fields_of(single, new)
    data = set() if owner == "bob" else {b"m:cart"}
    assert found.keys() == {b"c", b"d", b"a", b"i", b"v", b"u", b"z", b"s", b"l:logins"} | data
    assert found[b"u"] == b"alice"
    assert int(found[b"z"]) >= sum(len(name) + len(value) for name, value in found.items() if len(name) > 1)
    assert not await manager.rate_limit_session(new, "logins", 1, 600)


async def fields_of(world, session_id):
    reply = await world.backend.run(operations.read(keys.session_keys("test", session_id)))
    return dict(zip(reply[1][::2], reply[1][1::2], strict=True))


async def test_a_rotation_copies_all_fields_but_the_mark_of_an_adopted_id(world):
    manager = world.manager(max_sessions_per_user=3, idle_timeout_seconds=600)
    extra = {b"s": b"salt", b"e": b"1", b"t": b"9", b"g:jti": b"8"}
    for session_id in ("own", None):
        old = await manager.allocate_session(session_id, user_id="alice", custom_metadata={"a": 1})
        assert await manager.rate_limit_session(old, "x", 1, 600)
        pairs = [part for pair in extra.items() for part in pair]
        await world.backend.run(data_operations.merge(keys.session_keys("test", old), pairs=pairs))
        before = await fields_of(world, old)
        after = await fields_of(world, await manager.rotate_session(old))
        assert {name: value for name, value in after.items() if name != b"z"} == {
            name: value for name, value in before.items() if name not in (b"z", b"t")
        }


@each_login
async def test_a_login_of_another_user_carries_no_operation_ids(single, owner):
    """The first user's changes must not answer the second user's calls."""
    manager = single.manager()
    old = await manager.allocate_session(user_id=owner)
    await manager.increment_session_counter(old, "n", 5, idempotency_key="once")
    new = await manager.rotate_session(old, user_id="alice")
    again = await manager.increment_session_counter(new, "n", 1, idempotency_key="once")
    assert again == (True, 1 if owner == "bob" else 5)


@each_login
async def test_a_writer_that_read_the_session_before_the_login_changes_nothing(single, owner):
    manager = single.manager()
    old = await manager.allocate_session(user_id=owner, custom_metadata={"a": 1})
    read = await manager.get_session_metadata(old)
    assert await manager.update_session_metadata(old, {"a": 2})
    new = await manager.rotate_session(old, user_id="alice")
    assert not await manager.update_session_metadata(old, {"a": 3}, expected_version=read.version)
    with pytest.raises(VersionConflictError):
        await manager.update_session_metadata(new, {"a": 3}, expected_version=read.version)


async def test_a_login_again_neither_evicts_a_session_nor_exceeds_the_cap(world):
    manager = world.manager(max_sessions_per_user=2, when_full="refuse")
    other, old = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    new = await manager.rotate_session(old, user_id="alice", ttl_hours=1)
    assert sorted(await listed(manager, "alice")) == sorted(references([other, new]))
    with pytest.raises(SessionLimitError):
        await manager.allocate_session(user_id="alice")


async def test_a_login_again_outside_of_the_home_bucket_counts_toward_the_cap(world):
    manager = world.manager(max_sessions_per_user=1, when_full="refuse")
    await manager.allocate_session("own", user_id="alice", ttl_hours=1)
    home = await manager.allocate_session(user_id="alice")
    with pytest.raises(SessionLimitError):
        await manager.rotate_session("own", user_id="alice")
    assert await manager.delete_session(home)
    new = await manager.rotate_session("own", user_id="alice", ttl_hours=2)
    assert locate(new)[0] == home_bucket("test", "alice")
    await world.advance(hours=2, ms=-1)
    assert await manager.validate_session(new)


async def test_a_rotation_under_a_cap_keeps_the_deadline(world):
    manager = world.manager(max_sessions_per_user=1)
    await manager.allocate_session("own", user_id="alice", ttl_hours=1)
    before = await manager.get_session_metadata("own")
    await world.advance(seconds=5)
    after = await manager.get_session_metadata(await manager.rotate_session("own"))
    assert (after.expires_at, after.created_at, after.version) == (
        before.expires_at, before.created_at, before.version,
    )  # fmt: skip


@pytest.mark.parametrize("ttl_hours", [0, -1, math.nan, "1", True, 10**9])
async def test_refuses_an_invalid_lifetime(single, ttl_hours):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="ttl_hours"):
        await manager.rotate_session(session_id, user_id="alice", ttl_hours=ttl_hours)
    assert await manager.validate_session(session_id)


async def test_refuses_a_lifetime_without_a_login(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    for hours in (1, math.inf, 0):
        with pytest.raises(ValueError, match="ttl_hours needs a user_id"):
            await manager.rotate_session(session_id, ttl_hours=hours)
    assert await manager.validate_session(session_id)


async def test_a_login_updates_the_indexes(world):
    manager = world.manager()
    old = await manager.allocate_session(user_id="guest")
    new = await manager.rotate_session(old, user_id="alice")
    assert await manager.list_sessions() == references([new])
    assert await manager.count_sessions("guest") == 0
    assert await manager.count_sessions("alice") == 1


async def test_a_repeated_login_of_the_owner_gives_a_new_id_at_once(world):
    manager = world.manager(max_sessions_per_user=1)
    old = await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, user_id="alice")
    assert [await manager.validate_session(session_id) for session_id in (old, new)] == [False, True]


async def test_a_login_respects_the_cap(world):
    manager = world.manager(max_sessions_per_user=1, when_full="refuse")
    await manager.allocate_session(user_id="alice")
    guest = await manager.allocate_session()
    with pytest.raises(SessionLimitError):
        await manager.rotate_session(guest, user_id="alice")
    assert await manager.validate_session(guest)


async def test_a_login_loses_no_update_made_meanwhile(single):
    manager = single.manager()
    old = await manager.allocate_session()

    async def update(number):
        return await manager.update_session_metadata(old, {f"k{number}": number})

    new, *applied = await asyncio.gather(
        manager.rotate_session(old, user_id="alice"), *(update(number) for number in range(20))
    )
    kept = (await manager.get_session_info(new))["custom_metadata"]
    assert kept == {f"k{number}": number for number in range(20) if applied[number]}


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "5"])
async def test_refuses_invalid_grace_periods(single, grace):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="grace_seconds"):
        await manager.rotate_session(session_id, grace_seconds=grace)
    assert await manager.validate_session(session_id)


async def test_refuses_a_grace_period_at_login(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    with pytest.raises(ValueError, match="grace_seconds"):
        await manager.rotate_session(session_id, user_id="alice", grace_seconds=5)
    assert await manager.validate_session(session_id)


async def test_a_chain_of_rotations_never_forks_or_loses_the_session(single):
    manager = single.manager()
    first = current = await manager.allocate_session()
    for _ in range(30):
        current = await manager.rotate_session(current, grace_seconds=60)
    assert await manager.validate_session(first)
    assert await manager.allocate_session(first) == first
    assert await manager.delete_session(first)
    assert not await manager.validate_session(current)


async def test_a_chain_too_long_to_follow_raises_an_error(single):
    manager = single.manager()
    first = current = await manager.allocate_session()
    for _ in range(70):
        current = await manager.rotate_session(current, grace_seconds=60)
    for call in (manager.validate_session(first), manager.delete_session(first), manager.allocate_session(first)):
        with pytest.raises(SessionConflictError):
            await call
    assert await manager.validate_session(current)


async def test_clearing_a_pointer_never_deletes_a_session(single):
    backend, manager = single.backend, single.manager()
    old = await manager.allocate_session("mine", user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=60)
    clear = operations.delete(keys.session_keys("test", old), pointer=keys.session_keys("test", new).handle)
    assert await manager.delete_session(new)
    assert await backend.run(clear) == [statuses.OK]
    await manager.allocate_session("mine", user_id="alice")
    assert await backend.run(clear) == [statuses.EXISTS]
    assert await manager.validate_session("mine")


async def test_one_of_many_users_gets_the_same_free_old_id(single):
    manager = single.manager()
    for number in range(5):
        old = await manager.allocate_session(f"mine-{number}")
        await manager.delete_session(await manager.rotate_session(old, grace_seconds=60))
        users = [f"user-{index}" for index in range(6)]
        answers = await asyncio.gather(
            *(manager.allocate_session(old, user_id=user) for user in users), return_exceptions=True
        )
        assert sum(answer == old for answer in answers) == 1
        assert sum(isinstance(answer, SessionOwnerError) for answer in answers) == 5


async def test_a_retried_rotation_recognizes_its_own_work_and_changes_nothing_else(world):
    manager = world.manager()
    old = keys.session_keys("test", await manager.allocate_session("mine", user_id="alice"))
    new = keys.session_keys("test", ids.new_id("alice", old.index_keys.bucket))
    call = operations.rotate(old, new, grace_ms=0)
    assert await world.backend.run(call) == [statuses.OK]
    await manager.allocate_session("mine", user_id="bob")
    assert await world.backend.run(call) == [statuses.OK]
    assert await manager.validate_session("mine")
    assert await listed(manager, "bob") == references(["mine"])
    assert await manager.count_sessions("bob") == 1


@pytest.mark.parametrize("user_id", [None, "alice"])
async def test_a_rotation_leaves_a_session_alone_that_got_the_id_meanwhile(single, user_id):
    async def replace(call):
        if call.operation is operations.ROTATE:
            await manager.delete_session("mine")
            await single.advance(ms=1)
            await manager.allocate_session("mine", user_id="bob")

    manager = single.manager()
    await manager.allocate_session("mine", user_id="alice")
    assert await single.intercepted(replace).rotate_session("mine", user_id=user_id) is None
    assert (await manager.get_session_metadata("mine")).user_id == "bob"


async def test_the_grace_period_does_not_depend_on_the_idle_timeout(single):
    manager = single.manager(idle_timeout_seconds=60)
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=300)
    for _ in range(5):
        await single.advance(seconds=50)
        assert await manager.validate_session(new)
    assert await manager.validate_session(old)


def failing_deletion(failure):
    async def fail(call):
        if call.operation is operations.DELETE and not call.operation.may_retry(call.argv):
            raise failure("the store is down")

    return fail


async def test_a_login_that_cannot_delete_the_old_session_leaves_no_new_one(world):
    manager = world.manager()
    old = await manager.allocate_session()
    with pytest.raises(SessionUnavailableError):
        await world.intercepted(failing_deletion(SessionUnavailableError)).rotate_session(old, user_id="alice")
    assert await manager.list_sessions() == references([old])
    assert await manager.validate_session(old)


async def test_a_login_keeps_the_new_session_if_the_old_one_may_be_deleted(world):
    manager = world.manager()
    old = await manager.allocate_session()
    with pytest.raises(OutcomeUnknownError) as caught:
        await world.intercepted(failing_deletion(OutcomeUnknownError)).rotate_session(old, user_id="alice")
    assert sorted(await manager.list_sessions()) == sorted(references([old, caught.value.session_id]))


async def test_a_login_gives_up_when_the_session_keeps_changing(world):
    manager = world.manager()
    old = await manager.allocate_session()

    async def change(call):
        if call.operation is operations.DELETE:
            await manager.increment_session_counter(old, "n")

    with pytest.raises(SessionConflictError, match="keeps changing"):
        await world.intercepted(change).rotate_session(old, user_id="alice")
    assert await manager.list_sessions() == references([old])


async def test_a_session_that_expires_during_a_login_is_gone(single):
    async def expire(call):
        if call.operation is operations.ALLOCATE:
            await single.advance(hours=1)

    old = await single.manager().allocate_session(ttl_hours=1)
    assert await single.intercepted(expire).rotate_session(old, user_id="alice") is None


def test_a_delete_at_a_version_is_not_retried():
    target = keys.session_keys("test", "s1")
    plain, at_version = operations.delete(target), operations.delete(target, version=1)
    assert plain.operation.may_retry(plain.argv)
    assert not at_version.operation.may_retry(at_version.argv)


async def test_a_session_with_a_callers_id_counts_toward_the_cap_once_it_is_rotated(world):
    manager = world.manager(max_sessions_per_user=2)
    rotated = []
    for number in range(4):
        await manager.allocate_session(f"own-{number}", user_id="alice", custom_metadata={"number": number})
        rotated.append(await manager.rotate_session(f"own-{number}"))
        await world.advance(ms=1)
    assert [locate(session_id)[0] for session_id in rotated] == [home_bucket("test", "alice")] * 4
    assert [await manager.validate_session(session_id) for session_id in rotated] == [False, False, True, True]
    assert await manager.count_sessions("alice") == 2
    assert [one.custom_metadata for one in await manager.list_user_sessions("alice")] == [{"number": 2}, {"number": 3}]


@pytest.mark.parametrize("login", [None, "alice"])
async def test_a_rotation_that_a_cap_refuses_leaves_the_session_as_it_is(world, login):
    manager = world.manager(max_sessions_per_user=1, when_full="refuse")
    await manager.allocate_session(user_id="alice")
    await manager.allocate_session("own", user_id="alice")
    with pytest.raises(SessionLimitError):
        await manager.rotate_session("own", user_id=login)
    assert await manager.validate_session("own")
    assert await manager.count_sessions("alice") == 2


async def test_a_rotation_to_another_bucket_keeps_everything_and_honors_the_old_id(world):
    manager = world.manager(max_sessions_per_user=5, idle_timeout_seconds=3600)
    await manager.allocate_session("own", user_id="alice", ttl_hours=3, custom_metadata={"a": [1]})
    await manager.increment_session_counter("own", "n", idempotency_key="once")
    before = (await manager.get_session_metadata("own")).to_dict()
    await world.advance(seconds=5)
    new = await manager.rotate_session("own", grace_seconds=60)
    changed = {"session_id", "last_accessed"}
    after = (await manager.get_session_metadata(new)).to_dict()
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}
    assert await manager.increment_session_counter(new, "n", idempotency_key="once") == (True, 1)
    await world.advance(seconds=50)
    assert await manager.validate_session("own")
    assert await manager.allocate_session("own") == "own"
    assert await manager.update_session_metadata("own", {"b": 2}, remove=["a"])
    assert await manager.extend_session_ttl("own", 1)
    with pytest.raises(SessionRotatedError):
        await manager.rotate_session("own")
    assert (await manager.get_session_info(new))["custom_metadata"] == {"n": 1, "b": 2}
    assert await manager.list_sessions() == references([new])
    await world.advance(seconds=10)
    assert not await manager.validate_session("own")
    assert await manager.validate_session(new)


async def test_a_session_in_another_bucket_can_be_deleted_by_its_old_id(world):
    manager = world.manager(max_sessions_per_user=5)
    await manager.allocate_session("own", user_id="alice")
    new = await manager.rotate_session("own", grace_seconds=60)
    newer = await manager.rotate_session(new, grace_seconds=60)
    assert await manager.delete_session("own")
    assert [await manager.validate_session(session_id) for session_id in ("own", new, newer)] == [False] * 3
    assert await manager.allocate_session("own") == "own"
    assert await manager.list_sessions() == references(["own"])


async def test_an_invalid_pointer_raises_a_typed_error(single):
    manager = single.manager()
    for pointer in (b"xyz/handle", b"handle", b"\xff", b"0" * 22, b"zz" + b"A" * 22):
        await manager.allocate_session("other")
        await single.backend.run(
            operations.delete(keys.session_keys("test", "other"), successor=pointer, grace_ms=1000)
        )
        with pytest.raises(CorruptRecordError):
            await manager.validate_session("other")
        await single.advance(seconds=1)
