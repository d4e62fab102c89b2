"""Writes that wait for replicas."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.core import note_operations, operations
from chuk_sessions.engine import cancellation
from chuk_sessions.exceptions import NotReplicatedError, OutcomeUnknownError, SessionUnavailableError
from chuk_sessions.providers.factory import Factory
from tests.harness.farms import Proxy, wait_for
from tests.harness.references import references
from tests.harness.servers import Server
from tests.harness.strays import HOME, USER, id_in
from tests.harness.worlds import Intercepted
from tests.redis.tools import backend_on, manager_on


async def test_acknowledged_writes_are_on_the_replica(replicated: tuple[Server, Server]):
    primary, replica = replicated
    async with backend_on(primary.url, wait_replicas=1) as backend:
        manager = manager_on(backend)
        with replica.client() as client:
            for _ in range(50):
                session_id = await manager.allocate_session()
                assert len(client.keys("*/s/*")) == 1
                newer = await manager.rotate_session(session_id)
                assert newer is not None
                assert len(client.keys("*/s/*")) == 1
                assert await manager.delete_session(newer)
                assert not client.keys("*/s/*")


async def test_too_few_replicas_are_a_typed_error(replicated: tuple[Server, Server]):
    primary, replica = replicated
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=0.1) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session("mine")
        replica.signal(signal.SIGSTOP)
        for call in (manager.allocate_session("another"), manager.rotate_session("another")):
            with pytest.raises(NotReplicatedError):
                await call
        deletion = asyncio.create_task(manager.delete_session(session_id))
        # Other calls do not wait for the replica.
        assert await manager.increment_session_counter("another, too", "n") is None
        assert not deletion.done()
        with pytest.raises(NotReplicatedError):
            await deletion
        assert not await manager.validate_session(session_id), "the primary has applied it"
        replica.signal(signal.SIGCONT)
        assert await manager.allocate_session()


async def test_a_stray_is_not_created_until_replicas_have_its_note(replicated: tuple[Server, Server]):
    primary, replica = replicated
    stray = id_in(HOME + 1)

    async def stop_replica(call):
        if call.operation is note_operations.NOTE:
            replica.signal(signal.SIGSTOP)

    async with backend_on(primary.url, wait_replicas=1, wait_timeout=0.1) as backend:
        creator = SessionManager("test", Factory(Intercepted(backend, stop_replica), lambda: None))  # type: ignore[type-var]
        with pytest.raises(SessionUnavailableError, match="no session was created"):
            await creator.allocate_session(stray, user_id=USER)
        assert not await manager_on(backend).validate_session(stray)
        replica.signal(signal.SIGCONT)
        await manager_on(backend).allocate_session(stray, user_id=USER)
    with replica.client() as client:
        assert len(client.keys("*/n/*")) == len(client.keys("*/s/*")) == 1


async def test_a_lost_note_is_written_again(replicated: tuple[Server, Server]):
    primary, _ = replicated
    with Proxy(primary.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}", wait_replicas=1) as backend:
            manager = manager_on(backend)
            await manager.allocate_session(id_in(HOME + 1), user_id=USER)
            proxy.lose_replies(1, backend._scripts["note"].sha)
            await manager.allocate_session(id_in(HOME + 2), user_id=USER)
            assert await manager.count_sessions(USER) == 2


@pytest.mark.quiet
async def test_too_few_replicas_leave_a_session_whose_id_the_caller_knows(replicated: tuple[Server, Server]):
    primary, replica = replicated
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=0.5) as backend:
        manager = manager_on(backend)
        guest = await manager.allocate_session()
        replica.signal(signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(NotReplicatedError) as caught:
            await manager.rotate_session(guest, user_id="ann")
        assert time.monotonic() - begun < 0.95, "it does not wait for the replicas twice"
        assert caught.value.session_id is None
        await asyncio.gather(*cancellation._background)
        assert await manager.list_sessions() == references([guest]), "the login is undone"
        for call in (manager.rotate_session(guest), manager.allocate_session(user_id="ann")):
            with pytest.raises(NotReplicatedError) as caught:
                await call
            assert caught.value.session_id is not None
            assert await manager.validate_session(caught.value.session_id)
        assert await manager.count_sessions() == 2
        replica.signal(signal.SIGCONT)


async def test_a_login_whose_deletion_too_few_replicas_have_keeps_the_new_session(replicated: tuple[Server, Server]):
    primary, replica = replicated

    async def stop_replica(call):
        if call.operation is operations.DELETE:
            replica.signal(signal.SIGSTOP)

    async with backend_on(primary.url, wait_replicas=1, wait_timeout=0.1) as backend:
        manager = manager_on(backend)
        guest = await manager.allocate_session()
        login = SessionManager("test", Factory(Intercepted(backend, stop_replica), lambda: None))  # type: ignore[type-var]
        with pytest.raises(NotReplicatedError) as caught:
            await login.rotate_session(guest, user_id="ann")
        assert await manager.list_sessions() == references([caught.value.session_id])
        replica.signal(signal.SIGCONT)


async def test_forgotten_scripts_and_results_are_as_without_replicas(replicated: tuple[Server, Server]):
    primary, _ = replicated
    async with backend_on(primary.url, wait_replicas=1) as backend:
        manager = manager_on(backend)
        await manager.allocate_session("mine")
        with primary.client() as client:
            client.script_flush()
        assert await manager.delete_session("mine")
        assert not await manager.delete_session("mine")


async def test_a_refused_wait_does_not_undo_the_write(replicated: tuple[Server, Server]):
    primary, _ = replicated
    async with backend_on(primary.url, wait_replicas=1) as backend:
        with primary.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-wait")
        manager = manager_on(backend)
        with pytest.raises(NotReplicatedError):
            await manager.allocate_session("mine")
        assert await manager.validate_session("mine")


async def test_a_lost_reply_leaves_the_outcome_unknown(replicated: tuple[Server, Server]):
    primary, _ = replicated
    with Proxy(primary.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}", wait_replicas=1) as backend:
            manager = manager_on(backend)
            await manager.allocate_session("mine")
            proxy.lose_replies(1, backend._scripts["delete"].sha)
            with pytest.raises(OutcomeUnknownError):
                await manager.delete_session("mine")
            assert not await manager.validate_session("mine")


async def test_calls_that_wait_for_replicas_respect_the_in_flight_limit(replicated: tuple[Server, Server]):
    primary, _ = replicated
    async with backend_on(primary.url, wait_replicas=1, max_in_flight=1) as backend:
        manager = manager_on(backend)
        session_ids = await asyncio.gather(*(manager.allocate_session() for _ in range(10)))
        assert await manager.count_sessions() == len(session_ids)


async def test_a_connection_lost_during_the_wait_leaves_the_outcome_unknown(
    replicated: tuple[Server, Server],
):
    primary, replica = replicated
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=5) as backend:
        manager = manager_on(backend)
        await manager.allocate_session("mine")
        replica.signal(signal.SIGSTOP)
        deletion = asyncio.create_task(manager.delete_session("mine"))
        with primary.client() as client:
            await asyncio.to_thread(wait_for, lambda: bool(client.info("clients")["blocked_clients"]), "WAIT")
            client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(OutcomeUnknownError):
            await deletion
        assert not await manager.validate_session("mine")
        replica.signal(signal.SIGCONT)
