"""carry: copy the operation ids of a session to the one that a login creates."""

from __future__ import annotations

import pytest

from chuk_sessions import SessionTooLargeError
from chuk_sessions.core import data_operations, keys, operation_ids, operations, statuses
from chuk_sessions.core.keys import session_keys


async def operation_ids_of(world, session_id):
    reply = await world.backend.run(operations.read(session_keys("test", session_id), operation_ids=True))
    return dict(zip(reply[3][::2], map(int, reply[3][1::2]), strict=True))


async def increment(manager, session_id, key):
    """Increment the counter with an idempotency key, and return its value."""
    return (await manager.increment_session_counter(session_id, "n", idempotency_key=key)).value


async def test_a_login_keeps_every_operation_id_and_its_lifetime(single):
    manager = single.manager()
    old = await manager.allocate_session()
    for number in range(3):
        await increment(manager, old, f"{number}")
        await single.advance(seconds=199)
    before = await operation_ids_of(single, old)
    new = await manager.rotate_session(old, user_id="alice")
    assert await operation_ids_of(single, new) == before
    assert [await increment(manager, new, f"{number}") for number in (0, 1, 2)] == [3, 3, 3]
    await single.advance(seconds=3, ms=-1)
    assert await increment(manager, new, "0") == 3
    await single.advance(ms=1)
    assert [await increment(manager, new, f"{number}") for number in (0, 1, 2)] == [4, 4, 4]


async def test_a_login_keeps_the_operation_id_of_a_change_made_while_it_copies(world):
    async def change(call):
        nonlocal pending
        if pending and call.operation is operations.ALLOCATE:
            pending = False
            await increment(manager, old, "meanwhile")

    manager, pending = world.manager(), True
    old = await manager.allocate_session()
    new = await world.intercepted(change).rotate_session(old, user_id="alice")
    assert not pending
    assert await increment(manager, new, "meanwhile") == 1


async def test_a_login_copies_thousands_of_ids(single):
    manager = single.manager()
    old = await manager.allocate_session()
    until = single.clock.now_ms() + 1000
    carried = {b"id-%d" % number: until + number for number in range(5000)}
    flat = [part for name, expires_at in carried.items() for part in (name, b"%d" % expires_at)]
    assert await single.backend.run(operations.carry(session_keys("test", old), flat)) == [statuses.OK]
    new = await manager.rotate_session(old, user_id="alice")
    assert await operation_ids_of(single, new) == carried


async def test_a_rotation_to_the_home_bucket_keeps_every_operation_id(world):
    manager = world.manager(max_sessions_per_user=3)
    await manager.allocate_session("mine", user_id="alice")
    await increment(manager, "mine", "once")
    assert await manager.extend_session_ttl("mine", 1)
    before = await operation_ids_of(world, "mine")
    new = await manager.rotate_session("mine", grace_seconds=60)
    assert session_keys("test", new).index_keys.bucket != session_keys("test", "mine").index_keys.bucket
    assert len(before) == 1
    assert await operation_ids_of(world, new) == before
    assert await increment(manager, "mine", "once") == 1


async def test_a_rotation_to_the_home_bucket_computes_the_size_again(world):
    manager = world.manager(max_sessions_per_user=3, max_session_bytes=40)
    await manager.allocate_session("mine", user_id="alice", custom_metadata={"a": "x" * 20})
    assert await manager.update_session_metadata("mine", {"a": 1})
    new = await manager.rotate_session("mine")
    reply = await world.backend.run(operations.read(session_keys("test", new)))
    assert {field for field in reply[1][::2] if len(field) > 1} == {b"m:a"}
    assert await manager.update_session_metadata(new, {"b": "x" * 31})
    with pytest.raises(SessionTooLargeError):
        await manager.update_session_metadata(new, {"b": "x" * 32})


@pytest.mark.parametrize("cause", ["deleted", "evicted", "expired and evicted", "swept"])
async def test_operation_ids_are_removed_with_the_session_whatever_removes_it(world, cause):
    manager = world.manager(default_ttl_hours=0.05, max_sessions_per_user=1)
    session_id = await manager.allocate_session(user_id="alice")
    await increment(manager, session_id, "once")
    if cause in ("expired and evicted", "swept"):
        await world.advance(hours=0.06)
    if cause == "deleted":
        assert await manager.delete_session(session_id)
    elif cause == "swept":
        assert await manager.cleanup_expired_sessions() == 1
    else:
        await manager.allocate_session(user_id="alice")
    # An allocation under a fresh id clears no operation ids.
    again = operations.allocate(
        session_keys("test", session_id),
        "test",
        ttl_ms=10**6,
        idle_ms=0,
        owner=b"",
        user=0,
        cap=0,
        retention_ms=0,
        create=True,
    )
    assert await world.backend.run(again) == [statuses.CREATED]
    assert await operation_ids_of(world, session_id) == {}


@pytest.mark.parametrize(
    "build",
    [
        lambda target: operations.read(target, operation_ids=True),
        lambda target: data_operations.merge(target, pairs=[b"m:a", b"1"], operation_id=b"once"),
        lambda target: data_operations.increment(target, field=b"m:n", amount=1, ceiling=None, operation_id=b"once"),
        lambda target: data_operations.increment(target, field=b"m:n", amount=1, ceiling=None, operation_id=b""),
        lambda target: operations.extend(target, additional_ms=1, operation_id=b"once", retention_ms=0),
        operations.delete,
    ],
    ids=["read", "merge", "increment", "increment without an id", "extend", "delete"],
)
def test_a_retargeted_call_has_the_keys_of_the_new_session(build):
    old, new = session_keys("test", "s1"), session_keys("test", "s2")
    assert operations.retarget(build(old), new) == build(new)


async def test_reports_a_missing_session(single):
    call = operations.carry(session_keys("test", "s1"), [b"id", b"9" * 13])
    assert await single.backend.run(call) == [statuses.GONE]


@pytest.mark.parametrize("cause", ["expired", "deleted", "rotated"])
async def test_a_session_that_reuses_an_id_inherits_no_operation_ids(single, cause):
    manager = single.manager(default_ttl_hours=0.05, retention_seconds=0)
    await manager.allocate_session("mine")
    assert await increment(manager, "mine", "once") == 1
    if cause == "expired":
        await single.advance(hours=0.06)
    elif cause == "deleted":
        await manager.delete_session("mine")
    else:
        await manager.rotate_session("mine")
    await manager.allocate_session("mine", custom_metadata={"n": 5})
    assert await increment(manager, "mine", "once") == 6


async def test_operation_ids_expire_after_their_window(world):
    async def number_of_ids():
        reply = await world.backend.run(operations.read(session_keys("test", session_id), operation_ids=True))
        return len(reply[3]) // 2

    manager = world.manager()
    session_id = await manager.allocate_session()
    # The record has the latest extension, and the other key the one before.
    assert await manager.extend_session_ttl(session_id, 1)
    assert await number_of_ids() == 0
    assert await manager.extend_session_ttl(session_id, 1)
    await increment(manager, session_id, "k")
    assert await number_of_ids() == 2
    await world.advance(ms=operation_ids.EXTEND_WINDOW_MS)
    assert await number_of_ids() == 1
    await world.advance(ms=operation_ids.ONCE_WINDOW_MS)
    assert await number_of_ids() == 0


def test_the_key_of_operation_ids_differs_from_the_records_in_one_letter():
    target = session_keys("s", "s1")
    assert target.operations == target.record.replace("/s/s/", "/s/o/")
    assert keys.operations_of(target.record) == target.operations
