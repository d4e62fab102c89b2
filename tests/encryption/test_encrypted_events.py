"""Encryption together with events: readers with the keys learn every owner, and the streams contain none as text."""

from __future__ import annotations

import pytest

from chuk_sessions.core import ids, index_operations, keys
from chuk_sessions.encryption import reencrypt
from chuk_sessions.events import WebhookEndpoints, WebhookRelay, session_hash
from chuk_sessions.events.webhooks.sealing import Sealer
from tests.encryption.stored import encryption, stored
from tests.harness.readers import reading, take
from tests.harness.receiver import receiving
from tests.harness.strays import id_in

USER = "alice-the-user"
OWN = id_in(ids.home_bucket("test", USER))
"""A chosen id where the cap of the user counts."""


async def stored_events(world):
    """Return the events in all streams, each as its bytes."""
    buckets = [keys.events(bucket) for bucket in range(ids.BUCKETS)]
    replies = [await world.backend.run(index_operations.read_events(bucket, after=b"")) for bucket in buckets]
    return [b" ".join(fields) for _, entries in replies for _, fields in entries]


async def received(world, reader="mailer", **options):
    """Return all events, as a reader gets them. None of them has the user as text."""
    written = await stored_events(world)
    assert not any(USER.encode() in event for event in written)
    async with reading(world, reader, **options) as events:
        return await take(events, len(written))


def told(events):
    """Return type, reason, and owner of events, sorted."""
    return sorted((event.type.removeprefix("session."), event.reason or "", event.user_id) for event in events)


async def test_readers_with_the_keys_learn_the_owner_of_each_kind_of_event(world):
    ours = encryption(require=True)
    manager = world.manager(encryption=ours, events="updates")
    first = await manager.allocate_session(user_id=USER, custom_metadata={"a": USER})
    assert await manager.update_session_metadata(first, {"b": USER}, ttl_seconds=7200)
    rotated = await manager.rotate_session(first)
    inside = await manager.rotate_session(rotated, user_id=USER)
    assert await manager.update_session_metadata(inside, {"c": USER})
    assert await manager.delete_session(inside)
    await manager.allocate_session(user_id=USER)
    assert await manager.revoke_user_sessions(USER) == 1
    expected = [
        ("created", "", USER), ("created", "", USER), ("ended", "deleted", USER), ("ended", "replaced", USER),
        ("ended", "revoked", USER), ("extended", "", USER), ("logged_in", "", USER), ("rotated", "", USER),
        ("updated", "", USER), ("updated", "", USER),
    ]  # fmt: skip
    found, hidden = await received(world, encryption=ours), await received(world, "without")
    assert told(found) == expected
    assert {(event.user_id, event.owner_known) for event in hidden} == {(None, False)}


async def test_the_ends_that_the_store_decides_have_their_owner(world):
    ours = encryption()
    manager = world.manager(encryption=ours, events=True, max_sessions_per_user=1, idle_timeout_seconds=60)
    await manager.allocate_session(OWN, user_id=USER)
    await world.advance(ms=5)
    await manager.allocate_session(OWN, user_id=USER, mode="replace")
    await world.advance(ms=5)
    await manager.allocate_session(user_id=USER, ttl_hours=0.001)
    await world.advance(seconds=10)
    idle = world.manager(encryption=ours, events=True, idle_timeout_seconds=1)
    await idle.allocate_session(user_id="bob", ttl_hours=1)
    await world.advance(seconds=10)
    assert await manager.cleanup_expired_sessions() >= 1
    found = await received(world, encryption=ours)
    assert told(found) == [
        ("created", "", USER), ("created", "", USER), ("created", "", USER), ("created", "", "bob"),
        ("ended", "evicted", USER), ("ended", "expired", USER), ("ended", "idle", "bob"), ("ended", "replaced", USER),
    ]  # fmt: skip


@pytest.mark.parametrize("primaries", [("new", None), (None, "new"), ("old", "new")])
async def test_caps_and_replacements_across_encodings_tell_each_owner(world, primaries):
    earlier, later = [
        world.manager(encryption=encryption(one), events=True, max_sessions_per_user=1) for one in primaries
    ]
    await earlier.allocate_session(OWN, user_id=USER, custom_metadata={"a": 1})
    before = await stored(world, OWN)
    await world.advance(ms=5)
    await later.allocate_session(OWN, user_id=USER, custom_metadata={"b": 2}, mode="replace")
    after = await stored(world, OWN)
    assert before.get(b"s", b"") != after.get(b"s", b"")
    assert (b"h" in after, b"s" in after) == (primaries[1] is not None,) * 2
    await world.advance(ms=5)
    last = await earlier.allocate_session(user_id=USER)
    await world.advance(ms=5)
    assert await later.allocate_session(last, user_id=USER) == last
    assert await later.revoke_session(session_hash(last), user_id=USER)
    written = await stored_events(world)
    async with reading(world, encryption=encryption()) as events:
        found = await take(events, len(written))
    assert told(found) == [
        ("created", "", USER), ("created", "", USER), ("created", "", USER),
        ("ended", "evicted", USER), ("ended", "replaced", USER), ("ended", "revoked", USER),
    ]  # fmt: skip
    assert await later.count_sessions(USER) == 0


async def test_a_copy_at_login_keeps_salt_owner_and_its_hash(world):
    manager = world.manager(encryption=encryption(), events=True, max_sessions_per_user=3)
    guest = await manager.allocate_session(custom_metadata={"cart": [1]})
    salt = (await stored(world, guest))[b"s"]
    inside = await manager.rotate_session(guest, user_id=USER)
    owner_hash = (await stored(world, inside))[b"h"]
    again = await manager.rotate_session(inside, user_id=USER)
    rotated = await manager.rotate_session(again)
    found = await stored(world, rotated)
    assert (found[b"s"], found[b"h"], b"e" in found) == (salt, owner_hash, True)
    assert (await manager.get_session_metadata(rotated)).custom_metadata == {"cart": [1]}


async def test_a_relay_with_encryption_delivers_owners_that_the_store_does_not_show(world):
    ours = encryption()
    endpoints = WebhookEndpoints(world.factory, encryption=ours)
    async with receiving() as receiver, WebhookRelay(world.factory, encryption=ours, poll_seconds=0.02):
        endpoint = await endpoints.add(receiver.url, allow_private=True)
        manager = world.manager(encryption=ours, events=True)
        assert await manager.delete_session(await manager.allocate_session(user_id=USER))
        await receiver.wait_for(2)
        assert await endpoints.list() == [endpoint]
    assert {body["data"]["user_id"] for body in receiver.bodies} == {USER}
    assert not any(USER.encode() in event for event in await stored_events(world))


async def test_reencrypted_sessions_end_with_an_owner_that_readers_decrypt(world):
    await world.manager(events=True).allocate_session(OWN, user_id=USER, custom_metadata={"a": 1})
    assert (await reencrypt(world.factory, "test", encryption())).rewritten == 1
    assert await world.manager(encryption=encryption(require=True)).delete_session(OWN)
    async with reading(world, encryption=encryption()) as events:
        found = await take(events, 2)
    assert told(found) == [("created", "", USER), ("ended", "deleted", USER)]


def test_plain_keys_do_not_concern_webhooks():
    sealed = Sealer(encryption(plain_keys=("v", "webhook"))).seal({"secret": USER})
    assert USER.encode() not in sealed
    assert Sealer(encryption()).open(sealed) == {"secret": USER}
