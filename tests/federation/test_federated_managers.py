"""Managers with a federation: from the environment, without `await`, with a cache, with encryption, and closed."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from chuk_sessions import LocalCache, ManagerClosedError, SessionManager
from chuk_sessions.core import data_operations, keys
from chuk_sessions.encryption import Encryption, generate_key, reencrypt
from chuk_sessions.federation import Federation, generate_signing_key, keys_text, public_keys_text
from chuk_sessions.sync import SessionManager as SyncSessionManager
from tests.harness.federated import GIVING, RESOLVING, pair


def test_the_synchronous_manager_gives_and_resolves(single):
    with (
        SyncSessionManager("test", single.factory, **GIVING) as manager,
        SyncSessionManager("other", single.factory, **RESOLVING) as other,
    ):
        session_id = manager.allocate_session(user_id="alice")
        first, second = (manager.grant_session(session_id, to="other", path="reports") for _ in range(2))
        found = other.resolve_grant(first, "reports/2026")
        assert found is not None
        assert found.user_id == "alice"
        assert [grant.audience for grant in manager.list_grants(session_id)] == ["other", "other"]
        assert manager.revoke_grant(first)
        assert other.resolve_grant(first, "reports") is None
        assert manager.revoke_grants(session_id) == 1
        assert other.resolve_grant(second, "reports") is None


async def test_the_environment_configures_it(single, monkeypatch):
    signing = {"k1": generate_signing_key(), "k0": generate_signing_key()}
    monkeypatch.setenv("SESSION_FEDERATION_KEYS", keys_text(signing))
    manager = single.manager()
    monkeypatch.delenv("SESSION_FEDERATION_KEYS")
    monkeypatch.setenv("SESSION_FEDERATION_TRUST", f"test={public_keys_text(signing)}")
    other = single.manager("other")
    token = await manager.grant_session(await manager.allocate_session(), to="other")
    assert await other.resolve_grant(token, "x")
    monkeypatch.setenv("SESSION_FEDERATION_TRUST", "test=k1:short")
    with pytest.raises(ValueError, match="k1"):
        single.manager("other")
    assert single.manager("other", federation=Federation()).federation.trust == {}, "an argument takes precedence"


async def test_signing_keys_are_rotated_without_a_gap(single):
    old, new = generate_signing_key(), generate_signing_key()
    session_id = await single.manager().allocate_session()

    async def given(keys):
        return await single.manager(federation=Federation(keys=keys)).grant_session(session_id, to="other")

    async def counts(token, *trusted):
        trust = {"test": {name: key.public_key() for name, key in trusted}}
        return bool(await single.manager("other", federation=Federation(trust=trust)).resolve_grant(token, "x"))

    before, after = await given({"k1": old}), await given({"k2": new, "k1": old})
    assert await counts(before, ("k1", old), ("k2", new))
    assert await counts(after, ("k1", old), ("k2", new))
    assert not await counts(before, ("k2", new))
    assert not await counts(after, ("k1", old))
    assert not await counts(after, ("k2", old)), "the id of a key does not decide"


async def test_a_cached_session_stays_as_it_is(world):
    manager, other = pair(world, local_cache=LocalCache())
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": 1})
    before = await manager.get_session_metadata(session_id)
    token = await manager.grant_session(session_id, to="other")
    assert await manager.get_session_metadata(session_id) == before
    assert await other.resolve_grant(token, "x")
    await manager.delete_session(session_id)
    assert await other.resolve_grant(token, "x") is None
    await manager.aclose()


async def test_a_change_of_the_encryption_keys_keeps_grants(world):
    first, index = {"e1": generate_key()}, {"index": generate_key()}
    changed = {"e2": generate_key(), **index}
    manager = world.manager(encryption=Encryption({**first, **index}, primary="e1"), **GIVING)
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": 1})
    token = await manager.grant_session(session_id, to="other")
    await reencrypt(world.factory, "test", Encryption({**first, **changed}, primary="e2"))
    other = world.manager("other", encryption=Encryption(changed, primary="e2"), **RESOLVING)
    assert (await other.resolve_grant(token, "x")).user_id == "alice"


async def test_a_known_session_is_asked_in_one_call_after_rotations(world):
    manager, _ = pair(world)
    calls = []

    async def note(call):
        calls.append(call.operation)

    session_id = await manager.allocate_session()
    resolver = SessionManager("other", world.intercepted(note).session_factory, **RESOLVING)
    token = await manager.grant_session(session_id, to="other")
    for _ in range(3):
        session_id = await manager.rotate_session(session_id)
    for expected in (4, 1, 1):
        calls.clear()
        assert await resolver.resolve_grant(token, "x")
        assert len(calls) == expected
    for _ in range(70):
        session_id = await manager.rotate_session(session_id)
        assert await resolver.resolve_grant(token, "x")


async def test_the_end_of_a_rotated_session_is_noticed_by_all_who_know_it(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other")
    new = await manager.rotate_session(session_id)
    assert all([await asyncio.gather(*(other.resolve_grant(token, "x") for _ in range(5)))])
    await manager.delete_session(new)
    assert await asyncio.gather(*(other.resolve_grant(token, "x") for _ in range(5))) == [None] * 5


async def test_a_change_of_the_user_is_seen_at_once(world):
    """The result of the latest call is only used again for an equal reply."""
    manager, other = pair(world)
    session_id = await manager.allocate_session(user_id="alice")
    token = await manager.grant_session(session_id, to="other")
    assert (await other.resolve_grant(token, "x")).user_id == "alice"
    target = keys.session_keys("test", session_id)
    await world.backend.run(data_operations.merge(target, pairs=[b"u", b"bob"]))
    assert (await other.resolve_grant(token, "x")).user_id == "bob"


async def test_a_closed_manager_neither_gives_nor_resolves(single):
    manager, other = pair(single)
    session_id = await manager.allocate_session()
    token = await manager.grant_session(session_id, to="other")
    await manager.aclose()
    await other.aclose()
    for call in (
        manager.grant_session(session_id, to="other"),
        manager.list_grants(session_id),
        manager.revoke_grant(token),
        manager.revoke_grants(session_id),
        other.resolve_grant(token, "x"),
    ):
        with pytest.raises(ManagerClosedError):
            await call


async def test_a_federation_does_not_keep_a_manager_alive(world):
    manager = weakref.ref(world.manager(**GIVING))
    gc.collect()
    assert manager() is None
