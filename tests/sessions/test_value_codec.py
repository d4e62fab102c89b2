"""The value codec: sessions of a codec with salts work like those of JSON, and no value is valid in another place."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chuk_sessions import ABSENT, session_hash
from chuk_sessions.core import data_operations, operations, statuses
from chuk_sessions.core.keys import session_keys
from chuk_sessions.core.record import fields_of
from chuk_sessions.core.values import JSON, SALT, json_codec
from chuk_sessions.exceptions import (
    CorruptRecordError,
    InvalidMetadataError,
    MetadataConflictError,
    NotACounterError,
    SessionOwnerError,
    VersionConflictError,
)
from tests.harness.toy_codec import ToyCodec, UnreadableError

DATA = {"cart": [1, {"a": None}], "hits": 3, "note": "grüße \ud800"}


async def stored(world, session_id, sandbox="test"):
    """Return the fields of a record as stored."""
    reply = await world.backend.run(operations.read(session_keys(sandbox, session_id)))
    assert reply[0] == statuses.OK
    return fields_of(reply[1])


async def store(world, session_id, pairs, sandbox="test"):
    """Write fields as they are."""
    call = data_operations.merge(session_keys(sandbox, session_id), pairs=pairs)
    assert await world.backend.run(call) == [statuses.OK]


async def metadata_of(manager, session_id):
    session = await manager.get_session_metadata(session_id)
    info = await manager.get_session_info(session_id)
    assert session is not None
    assert info == session.to_dict()
    return session.custom_metadata


async def test_values_and_owner_are_stored_encoded_and_returned_as_they_were(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(user_id="alice", custom_metadata=DATA)
    fields = await stored(single, session_id)
    assert len(fields[SALT]) == 16
    assert fields[b"m:hits"] == b"3"
    assert all(fields[name].startswith(b"E") for name in (b"u", b"m:cart", b"m:note"))
    session = await manager.get_session_metadata(session_id)
    assert (session.user_id, session.custom_metadata) == ("alice", DATA)


async def test_each_session_has_a_salt_of_its_own_and_json_stores_none(single):
    manager = single.manager(_values=ToyCodec)
    salts = [(await stored(single, await manager.allocate_session()))[SALT] for _ in range(3)]
    assert len(set(salts)) == 3
    plain = await stored(single, await single.manager().allocate_session(custom_metadata={"a": 1}))
    assert SALT not in plain
    assert plain[b"m:a"] == b"1"


async def test_updates_use_the_salt_of_the_session(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(custom_metadata=DATA)
    before = await stored(single, session_id)
    assert await manager.update_session_metadata(session_id, {"cart": [2], "new": True}, remove=["note"])
    assert await metadata_of(manager, session_id) == {"cart": [2], "hits": 3, "new": True}
    with pytest.raises(VersionConflictError):
        await manager.update_session_metadata(session_id, {"cart": []}, expected_version=1)
    assert await manager.update_session_metadata(session_id, {"only": "this"}, merge=False)
    assert await metadata_of(manager, session_id) == {"only": "this"}
    assert (await stored(single, session_id))[SALT] == before[SALT]


async def test_values_are_compared_although_each_encoding_differs(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(custom_metadata=DATA)
    expected = {"cart": DATA["cart"], "hits": 3, "new": ABSENT}
    assert await manager.update_session_metadata(session_id, {"cart": [], "new": 1}, expected=expected)
    for wrong in ({"cart": [1]}, {"hits": 4}, {"new": ABSENT}, {"absent": 1}):
        with pytest.raises(MetadataConflictError):
            await manager.update_session_metadata(session_id, {"cart": None}, expected=wrong)
    assert await metadata_of(manager, session_id) == {**DATA, "cart": [], "new": 1}


async def test_transforms_lose_no_change(single):
    one, other = [single.manager(_values=ToyCodec) for _ in range(2)]
    session_id = await one.allocate_session(custom_metadata={"cart": [0]})

    def add(number):
        return lambda cart: [*cart, number]

    changes = [
        manager.transform_session_metadata(session_id, "cart", add(number), idempotency_key=key)
        for number in range(1, 6)
        for manager, key in ((one, None), (other, f"key {number}"))
    ]
    assert all(await asyncio.gather(*changes))
    assert sorted((await metadata_of(one, session_id))["cart"]) == sorted([0, *range(1, 6), *range(1, 6)])
    repeated = await one.transform_session_metadata(session_id, "cart", add(9), idempotency_key="key 1")
    assert repeated.attempts == 0
    assert 9 not in repeated.value
    assert (await one.transform_session_metadata(session_id, "cart", lambda _: ABSENT)).value is ABSENT
    assert await metadata_of(one, session_id) == {}


async def test_lists_that_grow_are_plain_and_only_those_keys_may_grow(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(custom_metadata={"log": ["a"], "cart": [1]})
    assert await manager.append_session_metadata(session_id, "log", "b")
    with pytest.raises(NotACounterError):
        await manager.append_session_metadata(session_id, "cart", 2)
    assert await metadata_of(manager, session_id) == {"log": ["a", "b"], "cart": [1]}


async def test_a_reference_deletes_the_session_of_its_owner_only(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(user_id="alice")
    reference = session_hash(session_id)
    assert not await manager.revoke_session(reference, user_id="bob")
    assert await manager.revoke_session(reference, user_id="alice")


async def test_bad_metadata_is_refused_whether_or_not_there_is_a_session(single):
    manager = single.manager(_values=ToyCodec)
    for session_id in ("*", "absent", await manager.allocate_session()):
        with pytest.raises(InvalidMetadataError):
            await manager.update_session_metadata(session_id, {"a": {1}})
    assert not await manager.update_session_metadata("absent", {"a": 1})


async def test_rotation_copies_the_salt_and_updates_follow_the_old_id(single):
    manager = single.manager(_values=ToyCodec)
    old = await manager.allocate_session(user_id="alice", custom_metadata=DATA)
    salt = (await stored(single, old))[SALT]
    new = await manager.rotate_session(old, grace_seconds=60)
    assert (await stored(single, new))[SALT] == salt
    assert await manager.update_session_metadata(old, {"cart": []})
    assert await metadata_of(manager, new) == {**DATA, "cart": []}


async def test_login_copies_the_salt_and_encodes_the_new_owner(single):
    manager = single.manager(_values=ToyCodec)
    guest = await manager.allocate_session(custom_metadata=DATA)
    salt = (await stored(single, guest))[SALT]
    session_id = await manager.rotate_session(guest, user_id="alice")
    fields = await stored(single, session_id)
    assert fields[SALT] == salt
    assert fields[b"u"].startswith(b"E")
    assert await metadata_of(manager, session_id) == DATA
    assert await manager.update_session_metadata(session_id, {"cart": []})
    # A login of the owner is a rotation.
    again = await manager.rotate_session(session_id, user_id="alice")
    assert (await manager.get_session_metadata(again)).user_id == "alice"
    assert await metadata_of(manager, again) == {**DATA, "cart": []}


async def test_a_move_to_the_home_bucket_copies_owner_and_salt(world):
    manager = world.manager(_values=ToyCodec, max_sessions_per_user=5)
    await manager.allocate_session("mine", user_id="alice", custom_metadata=DATA)
    before = await stored(world, "mine")
    after = await stored(world, await manager.rotate_session("mine"))
    assert {**before, b"z": b""} == {**after, b"z": b""}


async def test_a_session_of_another_user_is_refused(single):
    manager = single.manager(_values=ToyCodec)
    await manager.allocate_session("mine", user_id="alice")
    assert await manager.allocate_session("mine", user_id="alice") == "mine"
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("mine", user_id="bob")


async def test_users_are_listed_counted_capped_and_revoked(world):
    manager = world.manager(_values=ToyCodec, max_sessions_per_user=3)
    created = []
    for number in range(4):
        await world.advance(seconds=1)
        created.append(await manager.allocate_session(user_id="alice", custom_metadata={"number": number}))
    other = await manager.allocate_session(user_id="bob")
    listed = await manager.list_user_sessions("alice")
    assert [one.custom_metadata["number"] for one in listed] == [1, 2, 3]
    assert {one.user_id for one in listed} == {"alice"}
    assert await manager.count_sessions("alice") == 3
    assert await manager.revoke_user_sessions("alice", except_session_id=created[-1]) == 2
    assert [await manager.validate_session(one) for one in [*created, other]] == [False, False, False, True, True]


async def test_counters_are_plain_and_only_those_keys_may_count(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session(custom_metadata={"cart": 1})
    assert await manager.increment_session_counter(session_id, "hits", 5) == (True, 5)
    assert (await stored(single, session_id))[b"m:hits"] == b"5"
    with pytest.raises(NotACounterError):
        await manager.increment_session_counter(session_id, "cart")
    assert await metadata_of(manager, session_id) == {"cart": 1, "hits": 5}


async def test_a_codec_reads_and_changes_the_sessions_of_json(single):
    session_id = await single.manager().allocate_session(custom_metadata=DATA)
    manager = single.manager(_values=ToyCodec)
    assert await metadata_of(manager, session_id) == DATA
    assert await manager.update_session_metadata(session_id, {"cart": []})
    assert await metadata_of(manager, session_id) == {**DATA, "cart": []}
    assert len((await stored(single, session_id))[SALT]) == 16


@pytest.mark.parametrize("place", ["field", "session", "sandbox"])
async def test_a_value_in_another_place_is_damage_not_absence(single, place):
    sandbox = "other" if place == "sandbox" else "test"
    manager, other = single.manager(_values=ToyCodec), single.manager(sandbox, _values=ToyCodec)
    session_id = await manager.allocate_session(custom_metadata={"a": 1, "b": 2})
    fields = await stored(single, session_id)
    target = session_id if place == "field" else await other.allocate_session(custom_metadata={"b": 2})
    pairs = [b"m:b", fields[b"m:a" if place == "field" else b"m:b"]]
    if place == "sandbox":
        pairs += [SALT, fields[SALT]]
    await store(single, target, pairs, sandbox)
    for read in (other.get_session_metadata, other.get_session_info):
        with pytest.raises(CorruptRecordError):
            await read(target)
    assert await other.validate_session(target)


async def test_lists_leave_out_damage_and_raise_other_errors(world, caplog):
    manager = world.manager(_values=ToyCodec)
    damaged, other = [await manager.allocate_session(user_id="alice", custom_metadata={"a": 1}) for _ in range(2)]
    await store(world, damaged, [b"m:a", b"Enonsense"])
    with caplog.at_level(logging.WARNING):
        assert len(await manager.list_user_sessions("alice")) == 1
    assert "cannot be read" in caplog.text
    await store(world, other, [b"m:a", b"EL"])
    with pytest.raises(UnreadableError):
        await manager.list_user_sessions("alice")
    with pytest.raises(UnreadableError):
        await manager.get_session_metadata(other)


async def test_sessions_of_an_unreadable_owner_are_revoked_with_the_user(world):
    manager = world.manager(_values=ToyCodec)
    good, damaged = [await manager.allocate_session(user_id="alice") for _ in range(2)]
    await store(world, damaged, [b"u", b"Enonsense"])
    assert await manager.revoke_user_sessions("alice") == 2
    assert not await manager.validate_session(good)
    assert not await manager.validate_session(damaged)


async def test_concurrent_updates_of_one_session_all_apply(single):
    manager = single.manager(_values=ToyCodec)
    session_id = await manager.allocate_session()
    changes = [manager.update_session_metadata(session_id, {f"key{number}": number}) for number in range(20)]
    assert all(await asyncio.gather(*changes))
    assert await metadata_of(manager, session_id) == {f"key{number}": number for number in range(20)}


CHANGES = {
    "update": lambda manager: manager.update_session_metadata("mine", {"new": 1}),
    "update that expects": lambda manager: manager.update_session_metadata(
        "mine", {"new": 1}, expected={"new": ABSENT}
    ),
    "transform": lambda manager: manager.transform_session_metadata("mine", "new", lambda _: 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("codec_meanwhile", [ToyCodec, json_codec])
async def test_a_change_of_a_session_that_is_replaced_meanwhile_uses_the_new_salt(world, change, codec_meanwhile):
    manager = world.manager(_values=ToyCodec)
    await manager.allocate_session("mine", custom_metadata=DATA)
    replaced = []

    async def replace_once(call):
        if call.operation is not operations.READ and not replaced:
            replaced.append(call)
            other = world.manager(_values=codec_meanwhile)
            await other.allocate_session("mine", custom_metadata={"old": 0}, mode="replace")

    assert await change(world.intercepted(replace_once, _values=ToyCodec))
    assert await metadata_of(manager, "mine") == {"old": 0, "new": 1}


async def test_values_other_than_expected_are_a_conflict_although_the_session_is_replaced(world):
    manager = world.manager(_values=ToyCodec)
    await manager.allocate_session("mine", custom_metadata={"a": 1})

    calls = []

    async def replace(call):
        calls.append(call)
        if len(calls) == 2:
            await manager.allocate_session("mine", custom_metadata={"a": 2}, mode="replace")

    with pytest.raises(MetadataConflictError) as caught:
        await world.intercepted(replace, _values=ToyCodec).update_session_metadata("mine", {"b": 1}, expected={"a": 1})
    assert caught.value.keys == ("a",)


def test_json_ignores_the_salt():
    assert JSON.encode({"a": 1}, 100, b"salt") == [b"m:a", b"1"]
    assert not JSON.needs_salt
