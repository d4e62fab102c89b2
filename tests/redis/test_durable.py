"""Changes that wait for replicas."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from chuk_sessions.exceptions import NotReplicatedError, OutcomeUnknownError
from tests.conftest import bundled
from tests.harness.farms import Proxy, wait_for
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, load_scripts, manager_on


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its replica."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(bundled(), "--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(running(bundled(), "--replicaof", "127.0.0.1", str(primary.port)))
        client = stack.enter_context(replica.client())
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "a replica")
        load_scripts(primary)
        yield primary, replica


async def test_what_is_acknowledged_is_on_the_replica(pair: tuple[Server, Server]):
    primary, replica = pair
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


async def test_too_few_replicas_are_a_typed_error(pair: tuple[Server, Server]):
    primary, replica = pair
    async with backend_on(primary.url, wait_replicas=1, wait_timeout=0.1) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session("mine")
        replica.signal(signal.SIGSTOP)
        for call in (manager.allocate_session("another"), manager.rotate_session("another")):
            with pytest.raises(NotReplicatedError):
                await call
        held = asyncio.create_task(manager.delete_session(session_id))
        # Others do not wait for that.
        assert await manager.increment_session_counter("another, too", "n") is None
        assert not held.done()
        with pytest.raises(NotReplicatedError):
            await held
        assert not await manager.validate_session(session_id), "the primary has it"
        replica.signal(signal.SIGCONT)
        assert await manager.allocate_session()


async def test_a_forgotten_script_and_a_refusal_are_what_they_were(pair: tuple[Server, Server]):
    primary, _ = pair
    async with backend_on(primary.url, wait_replicas=1) as backend:
        manager = manager_on(backend)
        await manager.allocate_session("mine")
        with primary.client() as client:
            client.script_flush()
        assert await manager.delete_session("mine")
        assert not await manager.delete_session("mine")


async def test_a_wait_that_is_refused_is_no_refusal_of_the_change(pair: tuple[Server, Server]):
    primary, _ = pair
    async with backend_on(primary.url, wait_replicas=1) as backend:
        with primary.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-wait")
        manager = manager_on(backend)
        with pytest.raises(NotReplicatedError):
            await manager.allocate_session("mine")
        assert await manager.validate_session("mine")


async def test_a_lost_reply_leaves_the_outcome_unknown(pair: tuple[Server, Server]):
    primary, _ = pair
    with Proxy(primary.port) as proxy:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}", wait_replicas=1) as backend:
            manager = manager_on(backend)
            await manager.allocate_session("mine")
            proxy.lose_replies(1, backend._scripts["delete"].sha)
            with pytest.raises(OutcomeUnknownError):
                await manager.delete_session("mine")
            assert not await manager.validate_session("mine")


async def test_calls_that_wait_for_replicas_take_turns_like_all_others(pair: tuple[Server, Server]):
    primary, _ = pair
    async with backend_on(primary.url, wait_replicas=1, max_in_flight=1) as backend:
        manager = manager_on(backend)
        made = await asyncio.gather(*(manager.allocate_session() for _ in range(10)))
        assert await manager.count_sessions() == len(made)


async def test_a_connection_that_is_lost_while_replicas_are_waited_for_leaves_the_outcome_unknown(
    pair: tuple[Server, Server],
):
    primary, replica = pair
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
