"""delete: remove a session, for all callers at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from chuk_sessions import CorruptRecordError, session_hash
from chuk_sessions.core import data_operations, keys, operations, statuses


async def test_is_true_once(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    assert await manager.delete_session(session_id) is True
    assert await manager.delete_session(session_id) is False


async def test_no_later_call_restores_the_session(single):
    manager, other = single.manager(), single.manager()
    session_id = await manager.allocate_session(user_id="alice")
    assert await other.validate_session(session_id)
    await manager.delete_session(session_id)
    assert not await other.validate_session(session_id)
    assert not await other.update_session_metadata(session_id, {"a": 1})
    assert not await other.extend_session_ttl(session_id, 1)
    assert await other.increment_session_counter(session_id, "n") is None
    assert await other.rotate_session(session_id) is None
    assert await other.rotate_session(session_id, user_id="alice") is None
    assert not await other.validate_session(session_id)


async def test_removes_the_session_from_the_indexes(world):
    manager = world.manager()
    session_id = await manager.allocate_session(user_id="alice")
    await manager.delete_session(session_id)
    assert await manager.list_sessions() == []
    assert await manager.count_sessions("alice") == 0


async def test_is_false_for_an_expired_session(single):
    manager = single.manager()
    session_id = await manager.allocate_session(ttl_hours=1)
    await single.advance(hours=1)
    assert await manager.delete_session(session_id) is False


async def test_the_id_can_be_used_again_for_a_new_session(single):
    manager = single.manager()
    await manager.allocate_session("s1", user_id="alice", custom_metadata={"a": 1})
    await manager.delete_session("s1")
    await manager.allocate_session("s1", user_id="bob")
    assert (await manager.get_session_info("s1"))["custom_metadata"] == {}


async def test_one_of_many_concurrent_deletes_is_true(single):
    manager = single.manager()
    session_id = await manager.allocate_session()
    answers = await asyncio.gather(*(manager.delete_session(session_id) for _ in range(50)))
    assert sum(answers) == 1


async def test_deletes_a_session_by_its_old_id(single):
    manager = single.manager()
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert await manager.delete_session(old) is True
    assert not await manager.validate_session(new)
    assert not await manager.validate_session(old)


@pytest.mark.parametrize("user_id", [None, "alice"])
async def test_a_delete_that_arrives_late_spares_a_new_session_with_the_same_id(single, user_id):
    late = []

    async def keep(call):
        if call.operation is operations.DELETE:
            late.append(call)

    manager = single.manager()
    await manager.allocate_session("mine", user_id="alice")
    if user_id is None:
        assert await single.intercepted(keep).delete_session("mine") is True
    else:
        assert await single.intercepted(keep).rotate_session("mine", user_id="bob")
    await single.advance(ms=1)
    await manager.allocate_session("mine", user_id="alice")
    [call] = late
    await single.backend.run(call)
    assert await manager.validate_session("mine")


async def test_deletes_a_session_with_a_callers_id_that_changes_meanwhile(single):
    manager = single.manager()

    async def change(call):
        if call.operation is operations.DELETE:
            await manager.update_session_metadata("mine", {"a": 1})

    await manager.allocate_session("mine")
    assert await single.intercepted(change).delete_session("mine") is True
    assert not await manager.validate_session("mine")


async def test_a_session_that_replaces_the_one_to_delete_stays(single):
    manager = single.manager()

    async def replace(call):
        if call.operation is operations.DELETE:
            await manager.delete_session("mine")
            await single.advance(ms=1)
            await manager.allocate_session("mine")

    await manager.allocate_session("mine")
    assert await single.intercepted(replace).delete_session("mine") is False
    assert await manager.validate_session("mine")


async def test_a_generated_id_takes_one_call(single):
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    session_id = await single.manager().allocate_session()
    assert await single.intercepted(note).delete_session(session_id) is True
    assert calls == ["delete"]


async def test_deletes_a_damaged_session_with_a_callers_id(single):
    manager = single.manager()
    await manager.allocate_session("mine")
    await single.backend.run(data_operations.merge(keys.session_keys("test", "mine"), pairs=[b"a", b"soon"]))
    await manager.delete_session("mine")
    assert not await manager.validate_session("mine")
    assert await manager.allocate_session("mine") == "mine"
    assert await manager.validate_session("mine")


@pytest.mark.parametrize("session_id", [None, "mine"])
@pytest.mark.parametrize("user_id", [None, "alice"])
async def test_revokes_a_session_by_its_reference_once(single, session_id, user_id):
    manager = single.manager()
    session_id = await manager.allocate_session(session_id, user_id="alice")
    other = await manager.allocate_session(user_id="alice")
    assert await manager.revoke_session(session_hash(session_id), user_id=user_id) is True
    assert not await manager.validate_session(session_id)
    assert await manager.revoke_session(session_hash(session_id), user_id=user_id) is False
    assert await manager.validate_session(other)


async def test_revokes_the_sessions_that_a_list_has(world):
    manager = world.manager()
    for owned in ("alice", "alice", "bob", None):
        await manager.allocate_session(user_id=owned)
    for session in await manager.list_user_sessions("alice"):
        assert await manager.revoke_session(session.reference, user_id="alice")
    assert await manager.count_sessions("alice") == 0
    assert [await manager.revoke_session(reference) for reference in await manager.list_sessions()] == [True] * 2
    assert await manager.count_sessions() == 0


@pytest.mark.parametrize("owner", [None, "bob"])
async def test_a_user_revokes_no_session_of_another(single, owner):
    manager = single.manager()
    session_id = await manager.allocate_session(user_id=owner)
    assert await manager.revoke_session(session_hash(session_id), user_id="alice") is False
    assert await manager.validate_session(session_id)
    with pytest.raises(ValueError, match="user_id"):
        await manager.revoke_session(session_hash(session_id), user_id="")


async def test_an_id_revokes_nothing_and_a_reference_is_no_id(single):
    manager = single.manager()
    for session_id in (await manager.allocate_session(), await manager.allocate_session("mine")):
        reference = session_hash(session_id)
        assert not await manager.revoke_session(session_id)
        assert not await manager.validate_session(reference)
        assert not await manager.delete_session(reference)
        assert await manager.get_session_info(reference) is None
        assert await manager.rotate_session(reference) is None
        assert await manager.validate_session(session_id)


@pytest.mark.parametrize(
    "odd", [None, 7, "", "mine", "00", "zz" + "A" * 22, "00" + "é" * 22, "\ud800", b"00", "0" * 999]
)
async def test_a_malformed_reference_revokes_nothing(single, odd):
    assert await single.manager().revoke_session(odd) is False
    assert await single.manager().revoke_session(odd, user_id="alice") is False


@pytest.mark.parametrize("user_id", [None, "alice"])
async def test_revokes_a_session_by_the_reference_of_its_old_id(single, user_id):
    manager = single.manager()
    old = await manager.allocate_session(user_id="alice")
    new = await manager.rotate_session(old, grace_seconds=60)
    assert not await manager.revoke_session(session_hash(old), user_id="bob")
    assert await manager.revoke_session(session_hash(old), user_id=user_id) is True
    assert [await manager.validate_session(session_id) for session_id in (old, new)] == [False, False]
    assert await manager.revoke_session(session_hash(old), user_id=user_id) is False


@pytest.mark.parametrize("ms", [0, 1])
async def test_a_revocation_spares_a_session_that_another_user_has_under_the_id_meanwhile(single, ms):
    manager = single.manager()

    async def replace(call):
        if call.operation is operations.DELETE:
            await manager.delete_session("mine")
            await single.advance(ms=ms)
            await manager.allocate_session("mine", user_id="bob")

    await manager.allocate_session("mine", user_id="alice")
    assert await single.intercepted(replace).revoke_session(session_hash("mine"), user_id="alice") is False
    assert await manager.validate_session("mine")


@pytest.mark.parametrize("damage", [b"a", b"d", b"v", b"c"])
async def test_a_damaged_session_is_not_revoked_for_another_user(single, damage):
    manager = single.manager()
    target = keys.session_keys("test", await manager.allocate_session("mine", user_id="alice"))
    await single.backend.run(data_operations.merge(target, pairs=[damage, b"soon"]))
    with suppress(CorruptRecordError):
        assert not await manager.revoke_session(target.reference, user_id="bob")
    assert await single.backend.run(operations.read(target)) != [statuses.GONE]
    assert await manager.revoke_session(target.reference)
    assert await single.backend.run(operations.read(target)) == [statuses.GONE]


async def test_a_session_whose_owner_is_unreadable_is_revoked_without_a_user_only(single):
    manager = single.manager()
    target = keys.session_keys("test", await manager.allocate_session("mine", user_id="alice"))
    await single.backend.run(data_operations.merge(target, pairs=[b"u", b"\xff"]))
    assert [await manager.revoke_session(target.reference, user_id=user) for user in ("alice", "bob")] == [False] * 2
    assert await manager.revoke_session(target.reference)


async def test_a_session_that_has_lost_its_owner_is_not_revoked_for_another_user(world):
    manager = world.manager()
    target = keys.session_keys("test", await manager.allocate_session("mine", user_id="alice"))
    await world.backend.run(data_operations.merge(target, pairs=[], removals=[b"u"]))
    assert not await manager.revoke_session(target.reference, user_id="bob")
    assert await manager.count_sessions("alice") == 1
