"""Failures of the store: calls raise typed errors, never return False or None, and no error reveals a secret."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest

from chuk_sessions import CorruptRecordError, SessionManager, SessionUnavailableError
from chuk_sessions.core import keys
from chuk_sessions.providers import redis
from tests.harness.farms import wait_for
from tests.harness.ports import free_port
from tests.harness.servers import running, valkey_binary

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


def rendered(error):
    """Return an error as a log would show it, with its causes."""
    return "".join(traceback.format_exception(error, limit=0))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_an_unreachable_server_raises_for_every_call(call, caplog):
    caplog.set_level(logging.DEBUG)
    manager = SessionManager(
        "test", redis.factory(f"redis://me:{PASSWORD}@127.0.0.1:{free_port()}/0", call_timeout=0.3)
    )
    with pytest.raises(SessionUnavailableError) as caught:
        await call(manager, SESSION)
    shown = rendered(caught.value) + caplog.text
    assert PASSWORD not in shown
    assert SESSION not in shown


async def test_an_unreachable_server_raises_for_the_provider_api():
    async with redis.factory(f"redis://127.0.0.1:{free_port()}/0", call_timeout=0.3)() as store:
        for call in (store.get("k"), store.setex("k", 1, "v"), store.delete("k"), store.getdel("k")):
            with pytest.raises(SessionUnavailableError):
                await call


async def test_the_error_about_a_wrong_password_does_not_contain_it(caplog):
    caplog.set_level(logging.DEBUG)
    with running(valkey_binary(), password="right") as server:
        manager = SessionManager("test", redis.factory(server.url.replace("right", PASSWORD)))
        with pytest.raises(SessionUnavailableError, match="password") as caught:
            await manager.validate_session(SESSION)
        assert PASSWORD not in rendered(caught.value) + caplog.text


async def test_a_key_of_another_type_is_a_corrupt_record(server):
    manager = SessionManager("test", redis.factory(server.url))
    with server.client() as client:
        client.set(keys.session_keys("test", "s1").record, "not a hash")
    with pytest.raises(CorruptRecordError):
        await manager.validate_session("s1")
    await manager.aclose()


async def test_a_replica_refuses_writes():
    with running(valkey_binary()) as primary, running(valkey_binary()) as replica:
        manager = SessionManager("test", redis.factory(replica.url, retries=2))
        session_id = await manager.allocate_session()
        with replica.client() as client:
            client.config_set("min-replicas-to-write", 1)
        # A validation that cannot record the access would let a session expire by its idle timeout while it is in use.
        with pytest.raises(SessionUnavailableError, match="replica"):
            await manager.validate_session(session_id)
        with replica.client() as client:
            client.config_set("min-replicas-to-write", 0)
            client.replicaof("127.0.0.1", primary.port)
        with pytest.raises(SessionUnavailableError, match="replica"):
            await manager.allocate_session()
        await manager.aclose()


async def test_calls_wait_while_a_primary_has_too_few_replicas():
    """A promoted primary refuses writes until replicas have found it."""
    with running(valkey_binary()) as server, server.client() as client:
        manager = SessionManager("test", redis.factory(server.url, call_timeout=30, retries=1000))
        session_id = await manager.allocate_session(user_id="alice")
        client.config_set("min-replicas-to-write", 1)
        calls = [
            asyncio.create_task(CALLS[name](manager, session_id)) for name in ("validate", "increment", "allocate")
        ]
        await asyncio.to_thread(wait_for, lambda: refusals(client) > len(calls), "refused writes")
        client.config_set("min-replicas-to-write", 0)
        is_valid, counter, created = await asyncio.gather(*calls)
        assert (is_valid, counter.value, await manager.count_sessions()) == (True, 1, 2)
        assert created != session_id
        await manager.aclose()


def refusals(client):
    """Return how often a server has refused a write for want of replicas."""
    return client.info("errorstats").get("errorstat_NOREPLICAS", {"count": 0})["count"]


async def test_the_warning_about_eviction_is_logged_once_without_the_password(caplog):
    with running(valkey_binary(), "--maxmemory-policy", "allkeys-lru", password=PASSWORD) as server:
        manager = SessionManager("test", redis.factory(server.url))
        await asyncio.gather(*(manager.allocate_session() for _ in range(5)))
        await manager.aclose()
    warnings = [record.getMessage() for record in caplog.records if "noeviction" in record.getMessage()]
    assert len(warnings) == 1
    assert PASSWORD not in warnings[0]
