"""The contract of `rewrite`: another encoding of a session, if it is as it was read, without any other change."""

from __future__ import annotations

import pytest

from chuk_sessions.core import data_operations, keys, operations, statuses
from chuk_sessions.core.record import fields_of

SALT, OTHER = b"a" * 16, b"b" * 16


async def created(world, **options):
    """Return the keys and fields of a new session."""
    session_id = await world.manager().allocate_session(user_id="alice", custom_metadata={"a": 1, "b": "x"}, **options)
    target = keys.session_keys("test", session_id)
    return target, await fields_in(world, target)


async def fields_in(world, target):
    return fields_of((await world.backend.run(operations.fetch(target)))[1])


def rewriting(target, fields, pairs, **options):
    return data_operations.rewrite(target, created=fields[b"c"], version=fields[b"v"], pairs=pairs, **options)


async def test_replaces_values_and_keeps_everything_else(single):
    target, before = await created(single)
    await single.advance(seconds=5)
    call = rewriting(target, before, [b"s", SALT, b"m:a", b"E\x01long", b"h", b"\xffhash", b"u", b"E\x01owner"], user=7)
    assert await single.backend.run(call) == [statuses.OK]
    after = await fields_in(single, target)
    changed = {b"s": SALT, b"m:a": b"E\x01long", b"h": b"\xffhash", b"u": b"E\x01owner"}
    assert {name: value for name, value in after.items() if name != b"z"} == {
        **{name: value for name, value in before.items() if name != b"z"}, **changed,
    }  # fmt: skip
    assert int(after[b"z"]) >= sum(len(name) + len(value) for name, value in after.items() if len(name) > 1)
    assert await single.backend.run(call) == [statuses.OK]


async def test_moves_the_session_in_the_index_of_users(world):
    target, fields = await created(world)
    assert await world.manager().count_sessions("alice") == 1
    await world.backend.run(rewriting(target, fields, [b"m:a", b"2"], user=7))
    assert await world.manager().count_sessions("alice") == 0
    assert await world.manager().count_sessions() == 1


async def test_a_shorter_owner_does_not_lower_the_bound_of_the_size(single):
    target, fields = await created(single)
    await single.backend.run(rewriting(target, fields, [b"u", b"E" * 100]))
    await single.backend.run(rewriting(target, fields, [b"u", b"bob"]))
    after = await fields_in(single, target)
    assert int(after[b"z"]) == sum(len(name) + len(value) for name, value in after.items() if len(name) > 1)


async def test_removes_fields(single):
    target, fields = await created(single)
    await single.backend.run(rewriting(target, fields, [b"s", SALT, b"m:a", b"2"]))
    await single.backend.run(rewriting(target, fields, [b"m:a", b"1"], removals=[b"s", b"h"]))
    assert await fields_in(single, target) == fields


async def test_writes_nothing_if_the_session_has_changed_or_was_replaced(single):
    target, before = await created(single, session_id="mine")
    manager = single.manager()
    await manager.update_session_metadata("mine", {"a": 2})
    changed = await fields_in(single, target)
    assert await single.backend.run(rewriting(target, before, [b"m:a", b"3"])) == [statuses.CONFLICT, 2]
    await single.advance(ms=1)
    await manager.allocate_session("mine", mode="replace")
    replaced = await fields_in(single, target)
    for fields in (before, changed, {**replaced, b"c": changed[b"c"]}):
        assert (await single.backend.run(rewriting(target, fields, [b"m:a", b"3"])))[0] == statuses.CONFLICT
    assert await fields_in(single, target) == replaced


async def test_writes_nothing_under_another_salt(single):
    target, fields = await created(single)
    assert await single.backend.run(rewriting(target, fields, [b"s", SALT, b"m:a", b"2"])) == [statuses.OK]
    refused = rewriting(target, fields, [b"s", OTHER, b"m:a", b"3"])
    assert await single.backend.run(refused) == [statuses.OTHER_SALT, SALT]
    assert (await fields_in(single, target))[b"m:a"] == b"2"


async def test_ignores_sessions_that_are_gone_or_have_moved(single):
    target, fields = await created(single)
    call = rewriting(target, fields, [b"m:a", b"2"])
    assert await single.backend.run(operations.delete(target)) == [statuses.OK]
    assert await single.backend.run(call) == [statuses.GONE]


@pytest.mark.parametrize("write", ["set", "merge"])
async def test_updates_adopt_or_need_the_salt_of_the_record(single, write):
    target, fields = await created(single)
    removals = [b"m:b"] if write == "merge" else []

    def update(salt, value):
        return data_operations.merge(target, pairs=[b"s", salt, b"m:a", value], removals=removals)

    assert await single.backend.run(update(SALT, b"2")) == [statuses.OK]
    assert await single.backend.run(update(OTHER, b"3")) == [statuses.OTHER_SALT, SALT]
    after = await fields_in(single, target)
    assert (after[b"s"], after[b"m:a"], after[b"v"]) == (SALT, b"2", b"2")
    assert await single.backend.run(update(SALT, b"4")) == [statuses.OK]
    assert fields[b"v"] == b"1"


async def test_counters_and_lists_do_not_touch_encrypted_values(single):
    target, _ = await created(single)
    await single.backend.run(data_operations.merge(target, pairs=[b"m:a", b"E\x01..."]))
    increment = data_operations.increment(target, field=b"m:a", amount=1, ceiling=None, operation_id=b"")
    append = data_operations.append(target, field=b"m:a", items=b"1", operation_id=b"")
    assert await single.backend.run(increment) == [statuses.ENCRYPTED]
    assert await single.backend.run(append) == [statuses.ENCRYPTED]
