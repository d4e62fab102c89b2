"""The write hook on a server that fails: reports of writes whose replies are lost, late, or that get another id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chuk_sessions import OutcomeUnknownError, SessionUnavailableError
from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.core.keys import session_keys
from tests.harness.farms import Proxy
from tests.harness.servers import Server
from tests.redis.tools import EVENT_LOOPS, backend_on, load_scripts, manager_on

TIMES = 3
SHORT = 0.5
"""A timeout in seconds for calls that are to fail."""
Report = tuple[str, tuple[str, ...]]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    load_scripts(server)
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def backend(proxy: Proxy) -> AsyncIterator[RedisBackend]:
    async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
        yield backend


@pytest.fixture
def reports(backend: RedisBackend) -> Iterator[list[Report]]:
    reports: list[Report] = []
    remove = backend.write_hook.add(lambda records, call: reports.append((call.operation.name, records)))
    yield reports
    remove()


def record_of(session_id: str) -> str:
    return session_keys("test", session_id).record


async def test_backends_of_the_same_server_share_their_listeners(
    server: Server, backend: RedisBackend, reports: list[Report]
):
    session_id = await manager_on(backend).allocate_session()
    async with backend_on(server.url, retries=1) as other:
        assert await manager_on(other).delete_session(session_id)
    assert reports == [(name, (record_of(session_id),)) for name in ("allocate", "delete")]


async def test_a_write_without_a_server_is_reported(proxy: Proxy, reports: list[Report]):
    proxy.refusing = True
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", call_timeout=SHORT) as backend:
        with pytest.raises(SessionUnavailableError):
            await manager_on(backend).update_session_metadata("mine", {"a": 1})
    assert reports == [("set", (record_of("mine"),))]


async def test_a_write_whose_reply_was_lost_is_reported(proxy: Proxy, backend: RedisBackend, reports: list[Report]):
    manager = manager_on(backend)
    session_id = await manager.allocate_session("mine")
    proxy.lose_replies(1, backend._scripts["increment"].sha)
    with pytest.raises(OutcomeUnknownError):
        await manager.increment_session_counter(session_id, "n")
    assert reports[1:] == [("increment", (record_of("mine"),))]


async def test_a_write_that_timed_out_is_reported(proxy: Proxy, reports: list[Report]):
    async with backend_on(f"redis://127.0.0.1:{proxy.port}", call_timeout=SHORT) as backend:
        manager = manager_on(backend)
        await manager.allocate_session("mine")
        proxy.frozen = True
        with pytest.raises(SessionUnavailableError):
            await manager.validate_session("mine")
        proxy.frozen = False
    assert reports[1:] == [("validate", (record_of("mine"),))]


async def test_an_allocation_under_other_ids_reports_every_id(
    proxy: Proxy, backend: RedisBackend, reports: list[Report]
):
    manager = manager_on(backend)
    await manager.allocate_session("first")
    proxy.lose_replies(TIMES, backend._scripts["allocate"].sha)
    session_id = await manager.allocate_session()
    assert proxy.losses.met == TIMES
    allocated = {record for name, (record,) in reports[1:] if name == "allocate"}
    deleted = {record for name, (record,) in reports[1:] if name == "delete"}
    assert len(allocated) == TIMES + 1
    assert allocated - deleted == {record_of(session_id)}


@EVENT_LOOPS
def test_a_canceled_write_in_flight_is_reported_before_its_caller_goes_on(run, server: Server):
    heard: list[str] = []

    async def cancel(proxy: Proxy) -> None:
        async with backend_on(f"redis://127.0.0.1:{proxy.port}") as backend:
            manager = manager_on(backend)
            await manager.allocate_session("mine")
            proxy.frozen = True
            task = asyncio.create_task(manager.validate_session("mine"))
            await asyncio.sleep(0)
            # A write that is in flight already is reported, too.
            remove = backend.write_hook.add(lambda records, call: heard.extend(records))
            try:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert heard == [record_of("mine")]
            finally:
                remove()
                proxy.frozen = False

    with Proxy(server.port) as forwarder:
        run(cancel(forwarder))


async def test_replies_of_a_session_that_was_rotated_report_each_record_that_was_tried(
    backend: RedisBackend, reports: list[Report]
):
    manager = manager_on(backend)
    old = await manager.allocate_session()
    new = await manager.rotate_session(old, grace_seconds=60)
    assert new is not None
    assert await manager.update_session_metadata(old, {"a": 1})
    assert reports[2:] == [("set", (record_of(old),)), ("set", (record_of(new),))]
