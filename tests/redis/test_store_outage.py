"""When the store fails: typed errors, never False or None, and no secret in any of them."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from contextlib import suppress

import pytest

from chuk_sessions import CorruptRecordError, ProviderError, SessionManager, SessionUnavailableError, StoreFullError
from chuk_sessions.core import keys, operations
from chuk_sessions.providers import redis
from chuk_sessions.providers.factory import Factory
from tests.harness.servers import free_port, running, valkey_binary
from tests.harness.worlds import Meddled

CALLS = {
    "allocate": lambda manager, session_id: manager.allocate_session(user_id="alice"),
    "validate": lambda manager, session_id: manager.validate_session(session_id),
    "read": lambda manager, session_id: manager.get_session_info(session_id),
    "merge": lambda manager, session_id: manager.update_session_metadata(session_id, {"a": 1}),
    "increment": lambda manager, session_id: manager.increment_session_counter(session_id, "n"),
    "extend": lambda manager, session_id: manager.extend_session_ttl(session_id, 1),
    "rotate": lambda manager, session_id: manager.rotate_session(session_id),
    "login": lambda manager, session_id: manager.rotate_session(session_id, user_id="bob"),
    "delete": lambda manager, session_id: manager.delete_session(session_id),
    "list": lambda manager, session_id: manager.list_sessions(),
    "count": lambda manager, session_id: manager.count_sessions(),
    "revoke": lambda manager, session_id: manager.revoke_user_sessions("alice"),
    "cleanup": lambda manager, session_id: manager.cleanup_expired_sessions(),
}
SESSION = "sess-alice-1234567890-" + "ab" * 17
PASSWORD = "hunter2-very-secret"


def everything_in(error):
    """All that a log would show of an error, its causes included."""
    return "".join(traceback.format_exception(error, limit=0))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_an_unreachable_server_is_an_error_and_not_an_answer(call, caplog):
    caplog.set_level(logging.DEBUG)
    manager = SessionManager(
        "test", redis.factory(f"redis://me:{PASSWORD}@127.0.0.1:{free_port()}/0", call_timeout=0.3)
    )
    with pytest.raises(SessionUnavailableError) as caught:
        await call(manager, SESSION)
    told = everything_in(caught.value) + caplog.text
    assert PASSWORD not in told
    assert SESSION not in told


async def test_the_provider_api_tells_an_outage_too():
    async with redis.factory(f"redis://127.0.0.1:{free_port()}/0", call_timeout=0.3)() as store:
        for call in (store.get("k"), store.setex("k", 1, "v"), store.delete("k"), store.getdel("k")):
            with pytest.raises(SessionUnavailableError):
                await call


async def test_a_server_that_comes_back_is_used_again():
    with running(valkey_binary(), "--appendonly", "yes", "--appendfsync", "always") as server:
        manager = SessionManager("test", redis.factory(server.url, call_timeout=0.5))
        session_id = await manager.allocate_session()
        server.kill()
        with pytest.raises(ProviderError):
            await manager.validate_session(session_id)
        server.restart()
        back = time.monotonic()
        with suppress(SessionUnavailableError):
            await manager.validate_session(session_id)
        await asyncio.sleep(0.5 - (time.monotonic() - back))
        assert await manager.validate_session(session_id)
        await manager.aclose()


async def test_a_wrong_password_is_told_without_it(caplog):
    caplog.set_level(logging.DEBUG)
    with running(valkey_binary(), password="right") as server:
        manager = SessionManager("test", redis.factory(server.url.replace("right", PASSWORD)))
        with pytest.raises(SessionUnavailableError, match="password") as caught:
            await manager.validate_session(SESSION)
        assert PASSWORD not in everything_in(caught.value) + caplog.text


async def test_a_forgotten_script_is_nobodys_business(server):
    manager = SessionManager("test", redis.factory(server.url))
    session_id = await manager.allocate_session()
    with server.client() as client:
        client.script_flush()
    assert await manager.validate_session(session_id)
    await manager.aclose()


async def test_another_kind_of_value_under_the_key_is_a_corrupt_record(server):
    manager = SessionManager("test", redis.factory(server.url))
    with server.client() as client:
        client.set(keys.session_keys("test", "s1").record, "not a hash")
    with pytest.raises(CorruptRecordError):
        await manager.validate_session("s1")
    await manager.aclose()


async def test_a_replica_takes_no_writes():
    with running(valkey_binary()) as primary, running(valkey_binary()) as replica:
        manager = SessionManager("test", redis.factory(replica.url, retries=2))
        session_id = await manager.allocate_session()
        with replica.client() as client:
            client.config_set("min-replicas-to-write", 1)
        # A validation that could not mark the access would let an idle session end while it is used.
        with pytest.raises(SessionUnavailableError, match="replica"):
            await manager.validate_session(session_id)
        with replica.client() as client:
            client.config_set("min-replicas-to-write", 0)
            client.replicaof("127.0.0.1", primary.port)
        with pytest.raises(SessionUnavailableError, match="replica"):
            await manager.allocate_session()
        await manager.aclose()


async def test_a_server_that_may_evict_is_warned_about_once(caplog):
    with running(valkey_binary(), "--maxmemory-policy", "allkeys-lru", password=PASSWORD) as server:
        manager = SessionManager("test", redis.factory(server.url))
        await asyncio.gather(*(manager.allocate_session() for _ in range(5)))
        await manager.aclose()
    warnings = [record.getMessage() for record in caplog.records if "noeviction" in record.getMessage()]
    assert len(warnings) == 1
    assert PASSWORD not in warnings[0]


class TestFullMemory:
    """The server is over maxmemory and may not evict."""

    @pytest.fixture
    async def manager(self, full_server):
        manager = SessionManager("test", redis.factory(full_server.url), idle_timeout_seconds=3600)
        yield manager
        await manager.aclose()

    @pytest.fixture
    def full_server(self):
        with running(valkey_binary()) as server:
            yield server

    @staticmethod
    def fill(server):
        with server.client() as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)

    @staticmethod
    def dump(server):
        with server.client() as client:
            return {
                key: client.dump(key) if client.type(key) == b"hash" else client.zrange(key, 0, -1, withscores=True)
                for key in client.scan_iter()
            }

    async def test_reads_validations_deletes_and_revocations_still_work(self, manager, full_server):
        made = [await manager.allocate_session(user_id="alice", custom_metadata={"a": 1}) for _ in range(5)]
        self.fill(full_server)
        assert [await manager.validate_session(session_id) for session_id in made] == [True] * 5
        assert (await manager.get_session_info(made[0]))["custom_metadata"] == {"a": 1}
        assert await manager.count_sessions("alice") == 5
        assert await manager.delete_session(made[0])
        assert await manager.revoke_user_sessions("alice") == 4
        assert await manager.count_sessions() == 0

    @pytest.mark.parametrize("name", ["allocate", "merge", "increment", "extend", "rotate", "login"])
    async def test_what_grows_is_refused_and_changes_nothing(self, manager, full_server, name):
        session_id = await manager.allocate_session(user_id="alice", custom_metadata={"a": 0})
        self.fill(full_server)
        before = self.dump(full_server)
        with pytest.raises(StoreFullError):
            await CALLS[name](manager, session_id)
        with pytest.raises(StoreFullError):
            await manager.update_session_metadata(session_id, {}, merge=False)
        assert self.dump(full_server) == before
        assert await manager.validate_session(session_id)

    async def test_of_a_keyed_change_and_its_key_both_are_stored_or_neither(self, manager, full_server):
        session_id = await manager.allocate_session(custom_metadata={"n": 1})
        changes = (
            lambda: manager.increment_session_counter(session_id, "n", idempotency_key="k"),
            lambda: manager.update_session_metadata(session_id, {"m": 1}, idempotency_key="k"),
        )
        self.fill(full_server)
        for change in changes:
            with pytest.raises(StoreFullError):
                await change()
        with full_server.client() as client:
            assert not list(client.scan_iter("*/o/*"))
            client.config_set("maxmemory", 0)
        assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 2)
        self.fill(full_server)
        # What was applied is told at full memory, too.
        assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 2)

    async def test_a_login_that_cannot_carry_its_operation_ids_leaves_the_session_as_it_was(self, full_server):
        async def fill(call):
            if call.operation is operations.CARRY:
                self.fill(full_server)

        backend = redis.factory(full_server.url).backend
        manager = SessionManager("test", Factory(backend, lambda: None))
        session_id = await manager.allocate_session()
        await manager.increment_session_counter(session_id, "n", idempotency_key="k")
        with pytest.raises(StoreFullError):
            await SessionManager("test", Factory(Meddled(backend, fill), lambda: None)).rotate_session(
                session_id, user_id="alice"
            )
        assert await manager.list_sessions() == [session_id]
        assert await manager.increment_session_counter(session_id, "n", idempotency_key="k") == (True, 1)
        await backend.aclose()

    async def test_a_capped_user_gets_no_new_session_and_loses_none(self, full_server):
        manager = SessionManager("test", redis.factory(full_server.url), max_sessions_per_user=1)
        session_id = await manager.allocate_session(user_id="alice")
        self.fill(full_server)
        with pytest.raises(StoreFullError):
            await manager.allocate_session(user_id="alice")
        assert await manager.validate_session(session_id)
        await manager.aclose()

    async def test_ended_sessions_can_be_swept(self, manager, full_server):
        for hours in (1e-9, 5):
            await manager.allocate_session(f"s{hours}", ttl_hours=hours)
        self.fill(full_server)
        give_up = time.monotonic() + 5
        while not (swept := await manager.cleanup_expired_sessions()):
            assert time.monotonic() < give_up
        assert swept == 1
