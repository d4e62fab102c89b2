"""A server over maxmemory that may not evict: calls that need memory raise StoreFullError, and all others work."""

from __future__ import annotations

import time

import pytest

from chuk_sessions import SessionExistsError, SessionManager, StoreFullError, session_hash
from chuk_sessions.core import event_entries, ids, keys, modes, operations, statuses
from chuk_sessions.core.keys import session_keys
from chuk_sessions.providers import redis
from chuk_sessions.providers.factory import Factory
from tests.harness.federated import GIVING, RESOLVING
from tests.harness.references import references
from tests.harness.servers import Server, running, valkey_binary
from tests.harness.strays import HOME, home_index, id_in
from tests.harness.worlds import Intercepted

GROWING = {
    "allocate": lambda manager, session_id: manager.allocate_session(user_id="alice"),
    "note": lambda manager, session_id: manager.allocate_session(id_in(HOME + 1), user_id="alice"),
    "create": lambda manager, session_id: manager.allocate_session("new", mode="create"),
    "replace": lambda manager, session_id: manager.allocate_session(session_id, user_id="bob", mode="replace"),
    "merge": lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}),
    "increment": lambda manager, session_id: manager.increment_session_counter(session_id, "n"),
    "append": lambda manager, session_id: manager.append_session_metadata(session_id, "list", 1),
    "transform": lambda manager, session_id: manager.transform_session_metadata(session_id, "a", lambda a: a + 1),
    "ttl": lambda manager, session_id: manager.update_session_metadata(session_id, {}, ttl_seconds=9),
    "extend": lambda manager, session_id: manager.extend_session_ttl(session_id, 1),
    "set_ttl": lambda manager, session_id: manager.set_session_ttl(session_id, 1),
    "rate_limit": lambda manager, session_id: manager.rate_limit_session(session_id, "x", 1, 60),
    "rotate": lambda manager, session_id: manager.rotate_session(session_id),
    "login": lambda manager, session_id: manager.rotate_session(session_id, user_id="bob"),
    "login again": lambda manager, session_id: manager.rotate_session(session_id, user_id="alice"),
    "grant": lambda manager, session_id: manager.grant_session(session_id, to="other"),
}


@pytest.fixture(params=[False, "updates"], ids=["no events", "events"])
async def manager(full_server, request):
    factory = redis.factory(full_server.url)
    manager = SessionManager("test", factory, idle_timeout_seconds=3600, events=request.param, **GIVING)
    yield manager
    await manager.aclose()


@pytest.fixture
def full_server():
    with running(valkey_binary()) as server:
        yield server


def fill_memory(server: Server) -> None:
    with server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)


def dump(server: Server) -> dict[bytes, object]:
    with server.client() as client:
        return {
            key: client.zrange(key, 0, -1, withscores=True) if client.type(key) == b"zset" else client.dump(key)
            for key in client.scan_iter()
        }


async def test_reads_validations_deletes_and_revocations_still_work(manager, full_server):
    session_ids = [await manager.allocate_session(user_id="alice", custom_metadata={"a": 1}) for _ in range(4)]
    session_ids.append(await manager.allocate_session(id_in(HOME + 1), user_id="alice", custom_metadata={"a": 1}))
    fill_memory(full_server)
    assert await manager.allocate_session(session_ids[-1], user_id="alice") == session_ids[-1]
    assert len(await manager.list_user_sessions("alice")) == 5
    assert [await manager.validate_session(session_id) for session_id in session_ids] == [True] * 5
    assert (await manager.get_session_info(session_ids[0]))["custom_metadata"] == {"a": 1}
    before = await manager.get_session_metadata(session_ids[0])
    assert await manager.load_session(session_ids[0]) == before, "the session is not touched"
    assert await manager.count_sessions("alice") == 5
    assert await manager.delete_session(session_ids[0])
    assert await manager.revoke_user_sessions("alice") == 4
    assert await manager.count_sessions() == 0


@pytest.mark.parametrize("call", GROWING.values(), ids=GROWING.keys())
async def test_calls_that_need_memory_are_refused_and_change_nothing(manager, full_server, call):
    session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": 0})
    fill_memory(full_server)
    before = dump(full_server)
    with pytest.raises(StoreFullError):
        await call(manager, session_id)
    with pytest.raises(StoreFullError):
        await manager.update_session_metadata(session_id, {}, merge=False)
    assert dump(full_server) == before
    assert await manager.validate_session(session_id)


async def test_grants_can_be_resolved_and_revoked(manager, full_server):
    session_id = await manager.allocate_session(user_id="alice")
    tokens = [await manager.grant_session(session_id, to="other") for _ in range(3)]
    fill_memory(full_server)
    async with SessionManager("other", redis.factory(full_server.url), **RESOLVING) as other:
        assert await other.resolve_grant(tokens[0], "x")
        assert await manager.revoke_grant(tokens[0])
        assert await other.resolve_grant(tokens[0], "x") is None
        assert len(await manager.list_grants(session_id)) == 2
        assert await manager.revoke_grants(session_id) == 2
        assert not any([await other.resolve_grant(token, "x") for token in tokens])


async def test_every_end_is_told(full_server):
    factory = redis.factory(full_server.url)
    async with SessionManager("test", factory, events=True) as manager:
        ends = [await manager.allocate_session(user_id="alice") for _ in range(4)]
        expired = [await manager.allocate_session(user_id="alice", ttl_hours=1e-7) for _ in range(3)]
        fill_memory(full_server)
        assert await manager.delete_session(ends[0])
        assert await manager.revoke_session(session_hash(ends[1]))
        assert await manager.revoke_user_sessions("alice") >= 2
        await manager.cleanup_expired_sessions()
    with full_server.client() as client:
        entries = client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, keys.events(HOME))
    told = [event_entries.parse(*entry) for entry in entries]
    assert len(told) == 2 * len([*ends, *expired])
    reasons = {entry.session_hash(HOME): entry.reason for entry in told if entry.kind == "ended"}
    assert [reasons[session_hash(session_id)] for session_id in ends] == ["deleted", "revoked", "revoked", "revoked"]
    assert {reasons[session_hash(session_id)] for session_id in expired} == {"expired"}


async def test_a_refused_request_needs_no_memory(manager, full_server):
    session_id = await manager.allocate_session()
    assert await manager.rate_limit_session(session_id, "x", 1, 600)
    fill_memory(full_server)
    refused = await manager.rate_limit_session(session_id, "x", 1, 600, idempotency_key="k")
    assert refused.allowed is False


async def test_a_keyed_change_and_its_key_are_stored_together_or_not_at_all(manager, full_server):
    session_id = await manager.allocate_session(custom_metadata={"n": 1})
    changes = (
        lambda: manager.increment_session_counter(session_id, "n", idempotency_key="k"),
        lambda: manager.update_session_metadata(session_id, {"m": 1}, idempotency_key="k"),
        lambda: manager.append_session_metadata(session_id, "l", 1, idempotency_key="k"),
        lambda: manager.transform_session_metadata(session_id, "n", lambda n: 9, idempotency_key="k"),
    )
    fill_memory(full_server)
    for change in changes:
        with pytest.raises(StoreFullError):
            await change()
    with full_server.client() as client:
        assert not list(client.scan_iter("*/o/*"))
        client.config_set("maxmemory", 0)
    assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 2)
    fill_memory(full_server)
    # A retry gets the first result, although memory is full.
    assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 2)


async def test_old_notes_are_removed(manager, full_server):
    await manager.allocate_session(id_in(HOME + 1), user_id="alice")
    index, user = home_index(), ids.user_hash("alice")
    with full_server.client() as client:
        client.zadd(index.notes(user), {b"%02x" % (HOME + distance): 0 for distance in (1, 2)})
        client.zadd(index.noted, {f"test/{user}": 0})
        fill_memory(full_server)
        await manager.cleanup_expired_sessions()
        assert client.zrange(index.notes(user), 0, -1) == [b"%02x" % (HOME + 1)]
        await manager.cleanup_expired_sessions()
    assert await manager.revoke_user_sessions("alice") == 1


async def test_a_login_that_cannot_carry_its_operation_ids_leaves_the_session_as_it_was(full_server):
    async def fill_before_carry(call):
        if call.operation is operations.CARRY:
            fill_memory(full_server)

    backend = redis.factory(full_server.url).backend
    manager = SessionManager("test", Factory(backend, lambda: None))
    session_id = await manager.allocate_session()
    await manager.increment_session_counter(session_id, "n", idempotency_key="k")
    with pytest.raises(StoreFullError):
        await SessionManager("test", Factory(Intercepted(backend, fill_before_carry), lambda: None)).rotate_session(
            session_id, user_id="alice"
        )
    assert await manager.list_sessions() == references([session_id])
    assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 1)
    await backend.aclose()


async def test_a_capped_user_gets_no_new_session_and_loses_none(full_server):
    manager = SessionManager("test", redis.factory(full_server.url), max_sessions_per_user=1)
    session_id = await manager.allocate_session(user_id="alice")
    fill_memory(full_server)
    with pytest.raises(StoreFullError):
        await manager.allocate_session(user_id="alice")
    assert await manager.validate_session(session_id)
    await manager.aclose()


async def test_expired_sessions_can_be_swept(manager, full_server):
    for hours in (1e-9, 5):
        await manager.allocate_session(f"s{hours}", ttl_hours=hours)
    fill_memory(full_server)
    give_up = time.monotonic() + 5
    while not (swept := await manager.cleanup_expired_sessions()):
        assert time.monotonic() < give_up
    assert swept == 1


async def test_a_replacement_that_does_not_fit_can_be_repeated(manager, full_server):
    await manager.allocate_session("own", user_id="alice", custom_metadata={"old": 1}, mode="create")
    fill_memory(full_server)
    with pytest.raises(StoreFullError):
        await manager.allocate_session("own", user_id="bob", mode="replace")
    with pytest.raises(SessionExistsError):
        await manager.allocate_session("own", mode="create")
    with full_server.client() as client:
        client.config_set("maxmemory", 0)
    await manager.allocate_session("own", user_id="bob", mode="replace")
    info = await manager.get_session_metadata("own")
    assert (info.user_id, info.custom_metadata, info.version) == ("bob", {}, 2)


async def test_a_retried_creation_finds_its_work_done_although_memory_is_full(manager, full_server):
    call = operations.allocate(
        session_keys("test", "own"), "test", ttl_ms=10**6, idle_ms=0, owner=b"", user=0, cap=0, retention_ms=0,
        create=True, mode=modes.REPLACE, operation_id=b"once",
    )  # fmt: skip
    backend = manager.session_factory.backend
    assert await backend.run(call) == [statuses.CREATED]
    fill_memory(full_server)
    assert await backend.run(call) == [statuses.CREATED]
