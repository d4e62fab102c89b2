"""Sessions with encryption: they work like others, the store holds no value or owner, and wrong keys never log out."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import ABSENT, session_hash
from chuk_sessions.encryption import Encryption
from chuk_sessions.exceptions import (
    CorruptRecordError,
    EncryptedValueError,
    KeyUnavailableError,
    MetadataConflictError,
    SessionLimitError,
    SessionOwnerError,
)
from chuk_sessions.sync import SessionManager as SyncManager
from tests.encryption.stored import KEYS, encryption, stored

DATA = {"cart": [1, {"a": None}], "note": "grüße \ud800"}


async def data_of(manager, session_id):
    session = await manager.get_session_metadata(session_id)
    assert session == await manager.load_session(session_id) or session is None
    return session and session.custom_metadata


async def test_values_and_owner_are_encrypted_and_returned_as_they_were(single):
    manager = single.manager(encryption=encryption())
    session_id = await manager.allocate_session(user_id="alice", custom_metadata=DATA)
    fields = await stored(single, session_id)
    assert len(fields[b"s"]) == len(fields[b"h"]) == 16
    assert all(fields[name].startswith(b"E\x01") for name in (b"u", b"m:cart", b"m:note"))
    assert not any(b"alice" in value or b"gr" in value for value in fields.values())
    session = await manager.get_session_metadata(session_id)
    assert (session.user_id, session.custom_metadata) == ("alice", DATA)


async def test_an_encrypted_value_takes_33_bytes_more(single):
    both = [single.manager(**options) for options in ({}, {"encryption": encryption()})]
    plain, ours = [await stored(single, await one.allocate_session(custom_metadata=DATA)) for one in both]
    assert {len(ours[name]) - len(plain[name]) for name in (b"m:cart", b"m:note")} == {33}


async def test_updates_need_one_call_when_the_salt_is_known(world):
    calls = []

    async def note(call):
        calls.append(call.operation.name)

    manager = world.intercepted(note, encryption=encryption())
    session_id = await manager.allocate_session()
    assert await manager.update_session_metadata(session_id, {"a": 1})
    assert calls == ["allocate", "set"]
    other = world.intercepted(note, encryption=encryption())
    await other.update_session_metadata(session_id, {"a": 2})
    assert calls[2:] == ["set", "set"]
    await other.update_session_metadata(session_id, {"a": 3})
    third = world.intercepted(note, encryption=encryption())
    await third.load_session(session_id)
    await third.update_session_metadata(session_id, {"b": 3}, remove=["a"])
    assert calls[4:] == ["set", "load", "merge"]
    assert await data_of(manager, session_id) == {"b": 3}


async def test_an_update_of_a_replaced_session_is_encrypted_under_the_new_salt(single):
    ours, theirs = [single.manager(encryption=encryption()) for _ in range(2)]
    await ours.allocate_session("mine", custom_metadata={"a": 1})
    await ours.update_session_metadata("mine", {"a": 2})
    await theirs.allocate_session("mine", custom_metadata={"b": 1}, mode="replace")
    assert await ours.update_session_metadata("mine", {"c": 3})
    assert await ours.update_session_metadata("mine", {"b": 2}, expected={"b": 1, "a": ABSENT})
    assert await data_of(theirs, "mine") == {"b": 2, "c": 3}


async def test_values_are_compared_although_they_are_encoded_again_meanwhile(single):
    manager = single.manager(encryption=encryption("old"))
    session_id = await manager.allocate_session(custom_metadata={"a": 1})
    other, done = single.manager(encryption=encryption("new")), []

    async def encode_again(call):
        if call.operation.name == "merge" and not done:
            done.append(call)
            await other.update_session_metadata(session_id, {"a": 1})

    ours = single.intercepted(encode_again, encryption=encryption())
    assert await ours.update_session_metadata(session_id, {"a": 2}, expected={"a": 1})
    with pytest.raises(MetadataConflictError):
        await ours.update_session_metadata(session_id, {"a": 3}, expected={"a": 1})


async def test_a_transform_that_changes_nothing_writes_nothing(single):
    manager = single.manager(encryption=encryption())
    session_id = await manager.allocate_session(custom_metadata=DATA)
    await manager.transform_session_metadata(session_id, "cart", lambda cart: cart)
    assert (await manager.get_session_metadata(session_id)).version == 1
    assert (await manager.transform_session_metadata(session_id, "cart", lambda cart: [*cart, 2])).value[-1] == 2
    assert (await manager.transform_session_metadata(session_id, "new", lambda _: 7)).value == 7
    assert (await data_of(manager, session_id))["new"] == 7


async def test_only_plain_keys_are_counters_and_lists_that_grow(single):
    manager = single.manager(encryption=encryption(plain_keys=("hits", "log")))
    session_id = await manager.allocate_session(custom_metadata={"n": 1, "l": [], "hits": 3})
    assert (await manager.increment_session_counter(session_id, "hits")).value == 4
    assert await manager.append_session_metadata(session_id, "log", "a")
    for refused in (
        manager.increment_session_counter(session_id, "n"),
        manager.append_session_metadata(session_id, "l", 1),
        single.manager().increment_session_counter(session_id, "n"),
        single.manager(encryption=encryption(plain_keys=("l",))).append_session_metadata(session_id, "l", 1),
    ):
        with pytest.raises(EncryptedValueError):
            await refused
    assert await data_of(manager, session_id) == {"n": 1, "l": [], "hits": 4, "log": ["a"]}


async def test_rotation_and_login_keep_salt_and_data(single):
    manager = single.manager(encryption=encryption())
    guest = await manager.allocate_session(custom_metadata=DATA)
    salt = (await stored(single, guest))[b"s"]
    inside = await manager.rotate_session(guest, user_id="alice")
    again = await manager.rotate_session(inside, user_id="alice")
    rotated = await manager.rotate_session(again, grace_seconds=60)
    assert (await stored(single, rotated))[b"s"] == salt
    session = await manager.get_session_metadata(rotated)
    assert (session.user_id, session.custom_metadata) == ("alice", DATA)
    assert await manager.update_session_metadata(again, {"cart": []})
    assert await data_of(manager, await manager.rotate_session(rotated, user_id="bob")) == {}


@pytest.mark.parametrize("encrypts_first", [True, False])
async def test_sessions_of_both_encodings_count_and_are_listed_and_revoked_together(world, encrypts_first):
    both = [world.manager(encryption=encryption(primary)) for primary in ("new", None)]
    first, second = both if encrypts_first else both[::-1]
    ids = [await first.allocate_session(user_id="alice", custom_metadata={"n": 1})]
    await world.advance(ms=5)
    ids.append(await second.allocate_session(user_id="alice", custom_metadata={"n": 2}))
    for manager in both:
        assert await manager.count_sessions("alice") == 2
        assert [one.custom_metadata["n"] for one in await manager.list_user_sessions("alice")] == [1, 2]
        with pytest.raises(SessionOwnerError):
            await manager.allocate_session(ids[0], user_id="bob")
        assert await manager.allocate_session(ids[0], user_id="alice") == ids[0]
        assert not await manager.revoke_session(session_hash(ids[0]), user_id="bob")
    assert await first.revoke_user_sessions("alice", except_session_id=ids[1]) == 1
    assert await second.revoke_user_sessions("alice") == 1


@pytest.mark.parametrize("primary", ["new", None])
async def test_caps_count_both_encodings_and_evict_the_oldest(world, primary):
    managers = [world.manager(encryption=encryption(one), max_sessions_per_user=3) for one in ("new", None, "old")]
    ids = []
    for manager in managers:
        ids.append(await manager.allocate_session(user_id="alice"))
        await world.advance(ms=5)
    last = world.manager(encryption=encryption(primary), max_sessions_per_user=3)
    ids.append(await last.allocate_session(user_id="alice"))
    assert [await last.validate_session(one) for one in ids] == [False, True, True, True]
    full = world.manager(encryption=encryption(primary), max_sessions_per_user=3, when_full="refuse")
    with pytest.raises(SessionLimitError):
        await full.allocate_session(user_id="alice")


async def test_a_session_under_an_unavailable_key_is_no_preferred_victim_and_lists_raise(world):
    theirs = world.manager(encryption=encryption("new"))
    ours = world.manager(encryption=encryption("old", ("old",)), max_sessions_per_user=2)
    oldest = await ours.allocate_session(user_id="alice")
    await world.advance(ms=5)
    locked = await theirs.allocate_session(user_id="alice", custom_metadata={"a": 1})
    for read in (ours.get_session_metadata(locked), ours.load_session(locked), ours.list_user_sessions("alice")):
        with pytest.raises(KeyUnavailableError):
            await read
    await world.advance(ms=5)
    newest = await ours.allocate_session(user_id="alice")
    assert [await ours.validate_session(one) for one in (oldest, locked, newest)] == [False, True, True]
    assert await ours.revoke_user_sessions("alice") == 2


async def test_another_key_under_the_same_id_logs_nobody_out(world):
    """A full cap evicts the oldest session, not all those that cannot be decrypted."""
    theirs = world.manager(encryption=encryption())
    ids = []
    for _ in range(3):
        ids.append(await theirs.allocate_session(user_id="alice", custom_metadata={"a": 1}))
        await world.advance(ms=5)
    wrong = Encryption({**KEYS, "new": b"w" * 32}, primary="new")
    ours = world.manager(encryption=wrong, max_sessions_per_user=3)
    ids.append(await ours.allocate_session(user_id="alice"))
    assert [await theirs.validate_session(one) for one in ids] == [False, True, True, True]
    with pytest.raises(CorruptRecordError):
        await ours.get_session_metadata(ids[1])


async def test_strays_are_found_in_both_encodings(world):
    plain, ours = world.manager(encryption=encryption(None)), world.manager(encryption=encryption())
    for number in range(8):
        await (plain if number % 2 else ours).allocate_session(f"own-{number}", user_id="alice")
    for manager in (plain, ours):
        assert len(await manager.list_user_sessions("alice")) == 8
        assert await manager.count_sessions("alice") == 8
    assert await ours.revoke_user_sessions("alice") == 8


async def test_a_move_under_a_cap_keeps_owner_and_data(world):
    manager = world.manager(encryption=encryption(), max_sessions_per_user=5)
    await world.manager().allocate_session("own-1", user_id="alice", custom_metadata=DATA)
    moved = await manager.rotate_session("own-1")
    fields = await stored(world, moved)
    assert fields[b"m:cart"].startswith(b"E\x01")
    assert len(fields[b"h"]) == 16
    session = await manager.get_session_metadata(moved)
    assert (session.user_id, session.custom_metadata) == ("alice", DATA)
    assert await manager.revoke_user_sessions("alice") == 1


async def test_a_manager_without_keys_says_so(single):
    locked = await single.manager(encryption=encryption()).allocate_session("own", "alice", custom_metadata=DATA)
    plain = single.manager(max_sessions_per_user=None)
    for call in (
        plain.get_session_metadata(locked),
        plain.rotate_session(locked),
        plain.allocate_session("own", user_id="alice"),
        plain.revoke_session(session_hash(locked), user_id="alice"),
    ):
        with pytest.raises(KeyUnavailableError):
            await call
    assert await plain.validate_session(locked)


async def test_require_refuses_records_that_are_not_encrypted(world):
    plain, strict = world.manager(), world.manager(encryption=encryption(require=True, plain_keys=("hits",)))
    session_id = await plain.allocate_session(user_id="alice", custom_metadata={"a": 1})
    guest = await plain.allocate_session(custom_metadata={"a": 1})
    for refused in (
        strict.get_session_metadata(session_id), strict.get_session_metadata(guest), strict.list_user_sessions("alice"),
    ):  # fmt: skip
        with pytest.raises(KeyUnavailableError):
            await refused
    ours = await strict.allocate_session(user_id="alice", custom_metadata={"a": 1, "hits": 2})
    assert await data_of(strict, ours) == {"a": 1, "hits": 2}
    assert await strict.revoke_user_sessions("alice") == 2


def test_the_synchronous_manager_encrypts_too():
    from chuk_sessions.providers import memory

    with SyncManager("test", memory.factory(), encryption=encryption()) as manager:
        session_id = manager.allocate_session(user_id="alice", custom_metadata=DATA)
        assert manager.update_session_metadata(session_id, {"x": 1})
        assert manager.get_session_metadata(session_id).custom_metadata == {**DATA, "x": 1}


async def test_concurrent_changes_all_apply(world):
    managers = [world.manager(encryption=encryption(primary)) for primary in ("new", "old", None)]
    session_id = await managers[0].allocate_session(custom_metadata={"log": []})
    changes = [
        change
        for number, manager in enumerate(managers * 4)
        for change in (
            manager.update_session_metadata(session_id, {f"k{number}": number}),
            manager.transform_session_metadata(session_id, "log", lambda log, number=number: [*log, number]),
        )
    ]
    assert all(await asyncio.gather(*changes))
    found = await data_of(managers[0], session_id)
    assert sorted(found.pop("log")) == list(range(12))
    assert found == {f"k{number}": number for number in range(12)}
