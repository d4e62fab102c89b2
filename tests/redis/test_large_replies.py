"""Many concurrent reads of large sessions: their cost to the server and to other calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.backends.redis.settings import CLIENT_NAME
from chuk_sessions.exceptions import SessionTimeoutError
from tests.harness.servers import Server, running
from tests.redis.tools import backend_on, connections_named, manager_on, until

LARGE = {"text": "x" * 500_000}
SMALL = {"text": "x" * 100}
MAXMEMORY = 200_000_000


@pytest.fixture
def bounded(any_server: Server) -> Iterator[Server]:
    """Run a server with a memory limit for one test."""
    if not any_server.command:
        pytest.skip("a server given by URL cannot be started by the tests")
    with running(any_server.command[0], "--maxmemory", str(MAXMEMORY)) as server:
        yield server


class OtherConnections:
    """Observations on other connections.

    Attributes:
        peak: the most memory in bytes that the server has used.
        allocated: how many sessions were allocated.
        failures: errors of allocations.

    """

    peak = 0
    allocated = 0
    failures: tuple[Exception, ...] = ()

    async def watch(self, server: Server) -> None:
        with server.client() as client:
            while True:
                memory = await asyncio.to_thread(client.info, "memory")
                self.peak = max(self.peak, memory["used_memory"])

    async def allocate(self, manager: SessionManager) -> None:
        while True:
            try:
                await manager.allocate_session()
                self.allocated += 1
            except Exception as failure:
                self.failures += (failure,)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def observed(server: Server) -> AsyncIterator[OtherConnections]:
    seen = OtherConnections()
    async with backend_on(server.url, call_timeout=30.0) as other:
        tasks = [asyncio.create_task(seen.watch(server)), asyncio.create_task(seen.allocate(manager_on(other)))]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def read(manager: SessionManager, session_id: str, times: int) -> None:
    for info in await asyncio.gather(*(manager.get_session_info(session_id) for _ in range(times))):
        assert info is not None


@pytest.mark.parametrize(("small_before", "most"), [(0, 60_000_000), (500, 120_000_000)], ids=["first", "after small"])
async def test_large_sessions_do_not_fill_the_servers_memory(bounded: Server, small_before: int, most: int):
    async with backend_on(bounded.url, call_timeout=30.0) as backend:
        manager = manager_on(backend)
        small, large = [await manager.allocate_session(custom_metadata=one) for one in (SMALL, LARGE)]
        await read(manager, small, small_before)
        async with observed(bounded) as seen:
            await read(manager, large, 1000)
        assert seen.peak < most
        assert seen.allocated > 0
        assert not seen.failures


async def test_large_values_of_the_provider_api_do_not_fill_the_servers_memory(bounded: Server):
    async with backend_on(bounded.url, call_timeout=30.0) as backend:
        await backend.command("SET", "k", "x" * 500_000, retryable=True)
        async with observed(bounded) as seen:
            await asyncio.gather(*(backend.command("GET", "k", read_only=True) for _ in range(1000)))
        assert seen.peak < 60_000_000
        assert not seen.failures


@pytest.mark.quiet
async def test_more_large_reads_than_fit_into_the_timeout_do_not_affect_other_calls(server: Server):
    async with backend_on(server.url, call_timeout=1.5) as backend:
        manager = manager_on(backend)
        very_large = {"text": 2 * LARGE["text"]}
        large, other = [await manager.allocate_session(custom_metadata=one) for one in (very_large, {})]

        async def kind_of_result() -> type:
            try:
                return type(await manager.get_session_info(large))
            except SessionTimeoutError as late:
                return type(late)

        reads = [asyncio.create_task(kind_of_result()) for _ in range(2000)]
        # Start them before the time of the other calls begins.
        await asyncio.sleep(0)
        for number in range(1, 21):
            assert await manager.increment_session_counter(other, "n") == (True, number)
            await asyncio.sleep(0.02)
        kinds = set(await asyncio.gather(*reads))
        assert dict in kinds
        assert kinds <= {dict, SessionTimeoutError}
        # Replies to calls that were late may still arrive.
        await until(lambda: backend.stats().in_flight == backend.stats().waiting == 0)
        assert backend.stats().reconnects == 0


def newest_connection(server: Server) -> str:
    """Return the id of the connection that was opened last."""
    return connections_named(server, CLIENT_NAME)[-1]["id"]


async def test_small_reads_share_the_connection_and_large_reads_have_another(server: Server):
    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        small, large = [await manager.allocate_session(custom_metadata=SMALL) for _ in range(2)]
        await read(manager, small, 500)
        await manager.update_session_metadata(large, {"one": "x" * 50_000})
        await manager.update_session_metadata(large, {"two": "x" * 50_000})
        await read(manager, large, 1)
        assert backend.stats().connections == 1
        await read(manager, large, 1)
        assert backend.stats().connections == 2
        await read(manager, small, 500)
        with server.client() as client:
            client.client_kill_filter(_id=newest_connection(server))
            await read(manager, small, 100)
        await until(lambda: backend.stats().connections == 1)


async def test_a_connection_for_large_replies_that_breaks_is_opened_again(server: Server):
    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        large = await manager.allocate_session(custom_metadata=LARGE)
        await read(manager, large, 50)
        with server.client() as client:
            for _ in range(3):
                reads = asyncio.ensure_future(read(manager, large, 50))
                await asyncio.sleep(0.005)
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await reads
        assert backend.stats().in_flight == backend.stats().waiting == 0
        await read(manager, large, 50)
