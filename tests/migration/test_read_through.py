"""Reading through: sessions of running processes of the published package are adopted once, when they are used."""

from __future__ import annotations

from datetime import datetime

import pytest

from chuk_sessions import (
    ManagerClosedError,
    SessionManager,
    SessionOwnerError,
    SessionUnavailableError,
    session_hash,
    sync,
)
from chuk_sessions.backends.memory import ManualClock
from chuk_sessions.cache import LocalCache
from chuk_sessions.core import keys
from chuk_sessions.migration import PublishedSource, ReadThrough, SandboxSource
from chuk_sessions.providers import memory, redis
from tests.harness.ports import free_port


def seconds_apart(one, other):
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())


async def test_a_session_is_adopted_with_its_times(old, new):
    session_id = old.call("allocate_session", user_id="alice", ttl_hours=3, custom_metadata={"cart": [1, {"é": None}]})
    before = old.call("get_session_info", session_id)
    manager = new()
    assert await manager.count_sessions() == 0
    found = await manager.get_session_metadata(session_id)
    assert found.adopted
    after = found.to_dict()
    for name in ("created_at", "expires_at", "last_accessed"):
        assert seconds_apart(before.pop(name), after.pop(name)) < 0.002
    assert after == before
    assert [each.reference for each in await manager.list_user_sessions("alice")] == [session_hash(session_id)]


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("validate_session", ()),
        ("load_session", ()),
        ("get_session_info", ()),
        ("extend_session_ttl", (1,)),
        ("set_session_ttl", (1,)),
        ("update_session_metadata", ({"a": 1},)),
        ("increment_session_counter", ("n",)),
        ("append_session_metadata", ("list", [1])),
        ("transform_session_metadata", ("n", lambda n: n + 1)),
        ("rate_limit_session", ("api", 5, 60)),
        ("rotate_session", ()),
    ],
)
async def test_every_method_reads_through(old, new, method, args):
    session_id = old.call("allocate_session", custom_metadata={"n": 1, "list": []})
    assert await getattr(new(), method)(session_id, *args)


async def test_an_id_that_nobody_has_stays_unknown(old, new):
    manager = new()
    for session_id in ("sess-1700000000-0a1b2c3d", "a b", "", None, 3, "x" * 300):
        assert await manager.validate_session(session_id) is False
        assert await manager.load_session(session_id) is None
        assert await manager.delete_session(session_id) is False


async def test_sandboxes_are_isolated_unless_all_are_wanted(old, new, server):
    session_id = old.call("allocate_session")
    assert not await new("other").validate_session(session_id)
    assert not await new("other").delete_session(session_id)
    assert await new("web").validate_session(session_id)
    other = old.call("allocate_session")
    everything = PublishedSource(redis.factory(server.url), sandboxes="*")
    assert await new("other", source=everything).validate_session(other)


async def test_a_deleted_session_is_not_adopted_again(old, new):
    manager, session_id = new(), old.call("allocate_session")
    assert await manager.validate_session(session_id)
    assert await manager.delete_session(session_id)
    assert not await manager.delete_session(session_id)
    # The old process has it in its cache, and writes it back with a later deadline.
    assert old.call("extend_session_ttl", session_id, 48)
    assert not await manager.validate_session(session_id)
    assert await new().load_session(session_id) is None


async def test_a_session_that_is_deleted_before_it_was_adopted_is_gone(old, new):
    manager, session_id = new(), old.call("allocate_session")
    assert await manager.delete_session(session_id)
    assert old.call("validate_session", session_id), "from its cache; this writes the session back"
    assert not await manager.validate_session(session_id)


async def test_a_session_that_was_deleted_in_an_old_process_is_gone(old, new):
    session_id = old.call("allocate_session")
    assert old.call("delete_session", session_id)
    assert not await new().validate_session(session_id)


async def test_a_rotated_id_is_gone_everywhere(old, new):
    manager, session_id = new(), old.call("allocate_session", user_id="alice")
    new_id = await manager.rotate_session(session_id)
    assert not (await manager.load_session(new_id)).adopted
    assert old.call("validate_session", session_id), "from its cache; this writes the session back"
    assert not await manager.validate_session(session_id)
    assert await manager.delete_session(new_id)
    assert not await manager.validate_session(session_id)


async def test_a_revocation_of_a_user_reaches_sessions_that_were_not_adopted(old, new):
    manager = new()
    adopted, unused, kept = [old.call("allocate_session", user_id="alice") for _ in range(3)]
    others = old.call("allocate_session", user_id="bob")
    assert await manager.validate_session(adopted)
    assert await manager.revoke_user_sessions("alice", except_session_id=kept) == 1
    assert [await manager.validate_session(each) for each in (adopted, unused, kept, others)] == [
        False, False, True, True,
    ]  # fmt: skip
    later = old.call("allocate_session", user_id="alice")
    assert await manager.validate_session(later)


async def test_a_revocation_by_reference_reaches_sessions_that_were_not_adopted(old, new):
    manager, session_id = new(), old.call("allocate_session", user_id="alice")
    assert not await manager.revoke_session(session_hash(session_id))
    assert not await manager.validate_session(session_id)


async def test_allocation_under_an_old_id_finds_the_old_session(old, new):
    manager = new()
    old.call("allocate_session", "mine", user_id="alice", custom_metadata={"a": 1})
    assert await manager.allocate_session("mine", user_id="alice") == "mine"
    assert (await manager.load_session("mine")).custom_metadata == {"a": 1}
    old.call("allocate_session", "theirs", user_id="alice")
    with pytest.raises(SessionOwnerError):
        await manager.allocate_session("theirs", user_id="bob")


async def test_an_application_that_creates_a_session_under_an_adopted_id_keeps_it(old, new):
    manager = new()
    old.call("allocate_session", "mine")
    assert await manager.delete_session("mine")
    await manager.allocate_session("mine", custom_metadata={"own": True})
    assert (await manager.load_session("mine")).custom_metadata == {"own": True}


async def test_values_that_cannot_be_stored_are_left_out_with_a_warning(old, new, server, caplog):
    manager, session_id = new(), old.call("allocate_session")
    with server.client() as client:
        text = client.get(f"session:{session_id}").decode()
        client.set(f"session:{session_id}", text.replace('"custom_metadata": {}', '"custom_metadata": {"x": NaN}'))
        client.set("session:broken", "{")
        client.set("session:binary", b"\xff\xfe")
        client.hset("session:hash", "a", "b")
    for each in (session_id, "broken", "binary", "hash"):
        assert not await manager.validate_session(each)
        assert session_hash(each) in caplog.text
        assert each == "hash" or f" {each}" not in caplog.text


async def test_an_outage_of_the_source_is_not_a_missing_session(server):
    nowhere = redis.factory(f"redis://127.0.0.1:{free_port()}", connect_timeout=0.2, call_timeout=0.2)
    manager = SessionManager("web", redis.factory(server.url), migration=ReadThrough(PublishedSource(nowhere)))
    with pytest.raises(SessionUnavailableError):
        await manager.validate_session("sess-1700000000-0a1b2c3d")
    own = await manager.allocate_session()
    assert await manager.validate_session(own)
    # Ids of this version never come from there.
    assert await manager.delete_session(own)
    assert not await manager.validate_session(own)


async def test_works_with_a_local_cache(old, new):
    session_id = old.call("allocate_session", user_id="alice")
    async with new(local_cache=LocalCache()) as manager:
        assert not await manager.validate_session("sess-1700000000-0a1b2c3d")
        for _ in range(3):
            assert (await manager.load_session(session_id)).adopted
        assert await manager.delete_session(session_id)
        assert await manager.load_session(session_id) is None


def test_works_in_synchronous_code(old, server, monkeypatch):
    session_id = old.call("allocate_session", user_id="alice")
    monkeypatch.setenv("SESSION_MIGRATE_FROM", server.url)
    with sync.SessionManager("web", redis.factory(server.url), local_cache=LocalCache()) as manager:
        assert manager.load_session(session_id).user_id == "alice"
        assert manager.delete_session(session_id)
        assert manager.load_session(session_id) is None


async def test_the_environment_turns_it_on(old, server, monkeypatch):
    session_id = old.call("allocate_session")
    monkeypatch.setenv("SESSION_MIGRATE_FROM", server.url)
    assert not await SessionManager("x", redis.factory(server.url)).validate_session(session_id)
    monkeypatch.setenv("SESSION_MIGRATE_SANDBOX", "*")
    assert await SessionManager("x", redis.factory(server.url)).validate_session(session_id)
    monkeypatch.setenv("SESSION_MIGRATE_OVERLAP_HOURS", "-1")
    with pytest.raises(ValueError, match="SESSION_MIGRATE_OVERLAP_HOURS"):
        SessionManager("x", redis.factory(server.url))


async def test_subclasses_read_through_too(old, server):
    class Mine(SessionManager):
        async def validate_session(self, session_id, **options):
            return await super().validate_session(session_id, **options)

    session_id = old.call("allocate_session")
    factory = redis.factory(server.url)
    assert await Mine("web", factory, migration=ReadThrough(PublishedSource(factory))).validate_session(session_id)


async def test_a_sandbox_of_this_version_can_be_read_through(server):
    clock = ManualClock(1_700_000_000_000)
    old = SessionManager("old", memory.factory(clock), idle_timeout_seconds=600)
    session_id = await old.allocate_session(user_id="alice", custom_metadata={"a": [1]})
    await old.rate_limit_session(session_id, "api", 2, 60)
    migration = ReadThrough(SandboxSource(old.session_factory, "old"))
    manager = SessionManager("new", memory.factory(clock), migration=migration)
    assert (await manager.load_session(session_id)).custom_metadata == {"a": [1]}
    assert (await manager.rate_limit_session(session_id, "api", 2, 60)).remaining == 0
    target = keys.session_keys("new", session_id)
    assert target.reference in await manager.list_sessions()
    clock.advance(seconds=601)
    assert not await manager.validate_session(session_id)


async def test_a_closed_manager_says_so(new):
    manager = new()
    await manager.aclose()
    with pytest.raises(ManagerClosedError):
        await manager.validate_session("x")
