"""The circuit breaker: calls wait in a short outage, fail at once in a long one, and work soon after its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from typing import Any

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis import RedisBackend, per_loop
from chuk_sessions.backends.redis.net.connection import Connection
from chuk_sessions.backends.redis.net.connection_slot import ConnectionSlot
from chuk_sessions.backends.redis.net.connector import Connector
from chuk_sessions.backends.redis.net.limiter import InFlightLimiter
from chuk_sessions.backends.redis.net.node import Address, Node, Options
from chuk_sessions.exceptions import SessionUnavailableError
from tests.conftest import bundled
from tests.harness.farms import Member, cluster_farm, one_sentinel_over, wait_for
from tests.harness.ports import free_port
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, echo, manager_on, slot_of_session, soon, until, until_it_works

AT_ONCE = 0.005
SOON = 0.5
BRIEF = 0.5
"""A call timeout for tests that wait for it."""

IDLE = 1.2
"""Seconds after which an unused connection is probed before its next call."""

LARGE = b"x" * (1 << 17)
"""A text whose call uses the connection for large calls."""

PASSWORD = "hunter2-very-secret"


async def fails_after(manager: SessionManager, session_id: str) -> float:
    """Return the seconds until a call failed because of the outage."""
    begun = time.monotonic()
    with pytest.raises(SessionUnavailableError):
        await manager.validate_session(session_id)
    return time.monotonic() - begun


async def fail_at_once(manager: SessionManager, session_id: str) -> None:
    """Assert that calls fail without waiting."""
    took = sorted([await fails_after(manager, session_id) for _ in range(21)])
    assert took[10] < AT_ONCE, took
    assert took[-1] < BRIEF / 2, took


async def succeeds(manager: SessionManager, session_id: str) -> float:
    """Return the seconds until a call succeeded."""
    begun = time.monotonic()
    while True:
        try:
            assert await manager.validate_session(session_id)
            return time.monotonic() - begun
        except SessionUnavailableError:
            await asyncio.sleep(0.002)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and first two words of each log line about circuits."""
    logged = [(one.levelname, " ".join(one.getMessage().split()[:2])) for one in caplog.records]
    return [(level, words.rstrip(":")) for level, words in logged if words.startswith("circuit")]


async def test_calls_wait_for_the_end_of_a_short_outage_however_many_retries_it_takes(own_server: Server):
    async with backend_on(own_server.url, retries=1) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        own_server.kill()
        calls = [asyncio.create_task(manager.validate_session(session_id)) for _ in range(20)]
        await asyncio.sleep(3.2)
        assert not any(call.done() for call in calls)
        await asyncio.to_thread(own_server.restart)
        assert await asyncio.gather(*calls) == [True] * 20


@pytest.mark.quiet
async def test_calls_fail_at_once_in_a_long_outage_and_succeed_soon_after_its_end(own_server: Server, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    async with backend_on(own_server.url, call_timeout=BRIEF) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        for _ in range(2):
            caplog.clear()
            own_server.kill()
            assert 0.9 * BRIEF < await fails_after(manager, session_id) < BRIEF + 0.2
            await until(lambda: lines(caplog) == [("WARNING", "circuit opened")])
            await fail_at_once(manager, session_id)
            await asyncio.to_thread(own_server.restart)
            assert await succeeds(manager, session_id) < SOON
            assert lines(caplog) == [("WARNING", "circuit opened"), ("INFO", "circuit closed")]


async def test_an_outage_that_ended_between_calls_costs_nothing(own_server: Server):
    async with backend_on(own_server.url, call_timeout=BRIEF) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        own_server.kill()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.validate_session(session_id), BRIEF / 5)
        await asyncio.to_thread(own_server.restart)
        await until(lambda: backend.stats().connections == 1)
        await asyncio.sleep(BRIEF)
        assert await manager.validate_session(session_id)


@pytest.mark.quiet
async def test_a_server_that_hangs_while_a_connection_is_opened_opens_the_circuit_too(own_server: Server):
    async with backend_on(own_server.url, call_timeout=BRIEF, connect_timeout=30) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        own_server.signal(signal.SIGSTOP)
        for _ in range(2):
            assert await fails_after(manager, session_id) < BRIEF + 0.2
        await fail_at_once(manager, session_id)
        own_server.signal(signal.SIGCONT)
        assert await succeeds(manager, session_id) < SOON


@pytest.mark.quiet
async def test_an_open_connection_is_used_although_no_further_one_can_be_opened(own_server: Server, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    async with backend_on(own_server.url, call_timeout=BRIEF) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        with own_server.client() as client:
            client.config_set("maxclients", 2)
            with pytest.raises(SessionUnavailableError):
                await echo(backend, LARGE)
            await until(lambda: ("WARNING", "circuit opened") in lines(caplog))
            await asyncio.sleep(IDLE)
            assert await manager.validate_session(session_id)
            client.config_set("maxclients", 100)
        await asyncio.sleep(SOON)
        assert await echo(backend, LARGE) == LARGE


async def test_calls_use_the_open_connections_while_another_one_cannot_be_opened(own_server: Server):
    async with backend_on(own_server.url, call_timeout=BRIEF, connections=2) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        assert all(await asyncio.gather(*(manager.validate_session(session_id) for _ in range(10))))
        with own_server.client() as client:
            newest = max(int(one["id"]) for one in client.client_list() if one["name"] == "chuk-sessions")
            client.config_set("maxclients", 2)
            client.client_kill_filter(_id=str(newest))
            await until(lambda: backend.stats().connections == 1)
            end = time.monotonic() + 3 * BRIEF
            while time.monotonic() < end:
                assert all(await asyncio.gather(*(manager.validate_session(session_id) for _ in range(10))))
            client.config_set("maxclients", 100)
        async with asyncio.timeout(SOON):
            while backend.stats().connections < 2:
                assert all(await asyncio.gather(*(manager.validate_session(session_id) for _ in range(10))))


async def test_a_connection_that_is_lost_at_once_is_opened_again(own_server: Server, monkeypatch: pytest.MonkeyPatch):
    """The first connection works, so only the missing one shows that it is missing."""
    node = Node(Address("127.0.0.1", own_server.port), Options(call_timeout=BRIEF), circuit=True)
    assert await node.call(((b"ECHO", b"x"),), soon()) == b"x"
    connect = node._connector.connect

    async def connect_and_lose(connection: Connection) -> None:
        await connect(connection)
        connection.abort(ConnectionResetError("lost at once"))

    with monkeypatch.context() as patch:
        patch.setattr(node._connector, "connect", connect_and_lose)
        await node._bulk.start_opening()
    await asyncio.sleep(2 * BRIEF)
    assert await node.call(((b"ECHO", LARGE),), soon()) == LARGE
    await node.aclose()


async def test_a_canceled_attempt_to_connect_does_not_end_the_attempts(own_server: Server):
    async with backend_on(own_server.url, call_timeout=BRIEF) as backend:
        own_server.signal(signal.SIGSTOP)
        call = asyncio.create_task(echo(backend, b"x"))
        await asyncio.sleep(BRIEF / 5)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([call])
        own_server.signal(signal.SIGCONT)
        await asyncio.sleep(2 * BRIEF)
        assert await echo(backend, b"y") == b"y"


async def test_refused_passwords_open_no_circuit(caplog: Any):
    with running(bundled(), password="right") as server:
        async with backend_on(server.url.replace("right", PASSWORD), call_timeout=2 * BRIEF) as backend:
            manager = manager_on(backend)
            end = time.monotonic() + 5 * BRIEF
            while time.monotonic() < end:
                with pytest.raises(SessionUnavailableError, match="password"):
                    await manager.validate_session("s1")
    assert not lines(caplog)


async def test_no_secret_is_logged_about_an_outage(caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    async with backend_on(f"redis://me:{PASSWORD}@127.0.0.1:{free_port()}", call_timeout=BRIEF / 5) as backend:
        await fails_after(manager_on(backend), "s1")
        await until(lambda: lines(caplog))
    assert PASSWORD not in caplog.text


async def test_closing_the_backend_leaves_no_task(own_server: Server, caplog: Any):
    backend = RedisBackend(own_server.url, call_timeout=BRIEF)
    manager = manager_on(backend)
    await until_it_works(backend)
    session_id = await manager.allocate_session()
    own_server.kill()
    await fails_after(manager, session_id)
    await backend.aclose()
    names = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not names


def test_a_loop_closed_during_an_outage_causes_no_asyncio_warning(caplog: Any):
    backend = RedisBackend(f"redis://127.0.0.1:{free_port()}", call_timeout=BRIEF / 5)
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(fails_after(manager_on(backend), "s1"))
        loop.close()
    per_loop._at_exit()
    del backend
    gc.collect()
    assert [one for one in caplog.records if one.name == "asyncio"] == []


MOMENTS = {
    "its callbacks never run": lambda task: task.done(),
    "it never resumes": lambda task: task._fut_waiter and task._fut_waiter.done() and task._fut_waiter._exception,
}


@pytest.mark.parametrize("is_at_moment", MOMENTS.values(), ids=MOMENTS)
def test_a_loop_closed_right_after_a_connection_failed_causes_no_asyncio_warning(is_at_moment: Any, caplog: Any):
    address = Address("127.0.0.1", free_port())

    async def start_opening() -> tuple[ConnectionSlot, asyncio.Task[Connection]]:
        slot = ConnectionSlot(Connector(address, Options()), Options(), InFlightLimiter(1, 1))
        return slot, slot.start_opening()

    loop = asyncio.new_event_loop()
    slot, opening = loop.run_until_complete(start_opening())
    while not is_at_moment(opening):
        # Run one iteration of the loop.
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    slot.abort()
    del slot, opening
    gc.collect()
    assert [one for one in caplog.records if one.name == "asyncio"] == []


@pytest.mark.quiet
async def test_a_lost_node_of_a_cluster_fails_only_calls_for_its_slots(caplog: Any):
    with cluster_farm(bundled(), replicas=False) as farm:
        async with backend_on(farm.url, call_timeout=BRIEF) as backend:
            manager = manager_on(backend)
            session_ids = [await manager.allocate_session() for _ in range(60)]
            lost = farm.owner(slot_of_session(session_ids[0]))
            unreachable = [one for one in session_ids if farm.owner(slot_of_session(one)) is lost]
            reachable = [one for one in session_ids if one not in unreachable]
            lost.server.kill()
            await fails_after(manager, unreachable[0])
            await until(lambda: lines(caplog) == [("WARNING", "circuit opened")])
            await fail_at_once(manager, unreachable[0])
            took = []
            for session_id in reachable:
                begun = time.monotonic()
                assert await manager.validate_session(session_id)
                took.append(time.monotonic() - begun)
            assert sorted(took)[len(took) // 2] < AT_ONCE


async def test_a_failover_of_a_cluster_closes_the_circuit_although_the_old_node_stays_away(caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    with cluster_farm(bundled()) as farm:
        async with backend_on(farm.url, call_timeout=BRIEF) as backend:
            manager = manager_on(backend)
            session_id = await manager.allocate_session()
            slot = slot_of_session(session_id)
            lost = farm.owner(slot)
            lost.server.kill()
            await fails_after(manager, session_id)
            await asyncio.to_thread(wait_for, lambda: farm.owner(slot) is not lost, "another owner")
            await asyncio.sleep(SOON)
            assert await manager.validate_session(session_id)
            assert any(one.getMessage().startswith("failover:") for one in caplog.records)


@pytest.mark.quiet
async def test_a_lost_primary_that_sentinels_do_not_replace_opens_the_circuit(own_server: Server, caplog: Any):
    caplog.set_level(logging.DEBUG, "chuk_sessions")
    with one_sentinel_over(bundled(), Member(own_server, own_server.port)) as farm:
        async with backend_on(farm.url, call_timeout=BRIEF) as backend:
            manager = manager_on(backend)
            session_id = await manager.allocate_session()
            own_server.kill()
            await fails_after(manager, session_id)
            await until(lambda: lines(caplog) == [("WARNING", "circuit opened")])
            await fail_at_once(manager, session_id)
            await asyncio.to_thread(own_server.restart)
            assert await succeeds(manager, session_id) < SOON
            assert lines(caplog) == [("WARNING", "circuit opened"), ("INFO", "circuit closed")]
