"""Servers that die, hang, forget their scripts, or close their connections while calls are in flight."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from chuk_sessions.exceptions import OutcomeUnknownError, ProviderError, SessionUnavailableError
from tests.harness.servers import Server
from tests.redis.tools import (
    BUSY_AFTER_MS,
    BUSY_LOOP,
    BUSY_SETTING,
    LONG,
    backend_on,
    echo,
    kill_clients,
    manager_on,
    until,
)

SECONDS = 10.0 if LONG else 1.5
PATIENCE = 2 * SECONDS + 20.0
"""Seconds for what takes SECONDS unless the machine is busy."""


@asynccontextmanager
async def meanwhile(step: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Repeat a step while the body runs."""

    async def loop() -> None:
        while True:
            await step()

    task = asyncio.create_task(loop())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.quiet
async def test_after_a_kill_calls_continue_and_acknowledged_writes_are_kept(own_server: Server):
    acknowledged, unknown = 0, 0
    async with backend_on(own_server.url, call_timeout=10.0, retries=100) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()

        async def add() -> None:
            nonlocal acknowledged, unknown
            try:
                await manager.increment_session_counter(session_id, "n")
                acknowledged += 1
            except OutcomeUnknownError:
                unknown += 1

        async with meanwhile(add), meanwhile(add), meanwhile(add):
            await until(lambda: acknowledged > 100)
            own_server.kill()
            down_at = acknowledged
            await asyncio.to_thread(own_server.restart)
            back = time.monotonic()
            await until(lambda: acknowledged > down_at, 2.0)
            assert time.monotonic() - back < 1.0
            await until(lambda: acknowledged > down_at + 100)
        count = await manager.increment_session_counter(session_id, "n", 0)
        assert count is not None
        # The three calls that were canceled at the end may have been applied, too.
        assert acknowledged <= count.value <= acknowledged + unknown + 3
        assert unknown <= 3


async def test_forgotten_scripts_fail_no_call(server: Server):
    async def forget() -> None:
        await asyncio.to_thread(flush)
        await asyncio.sleep(0.02)

    def flush() -> None:
        with server.client() as client:
            client.script_flush()

    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        session_ids = [await manager.allocate_session() for _ in range(20)]
        end = time.monotonic() + SECONDS
        counted = [0] * 20

        async def work(index: int) -> None:
            while time.monotonic() < end:
                assert await manager.validate_session(session_ids[index])
                counted[index] += 1
                assert await manager.increment_session_counter(session_ids[index], "n") == (True, counted[index])

        async with meanwhile(forget):
            await asyncio.gather(*(work(index) for index in range(20)))
        assert backend.stats().retries > 0


async def test_a_forgotten_script_is_sent_even_if_retries_are_off(server: Server):
    async with backend_on(server.url, retries=0) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        with server.client() as client:
            for _ in range(20):
                client.script_flush()
                assert await manager.validate_session(session_id)


async def test_connections_killed_ten_times_a_second_cause_no_wrong_result(server: Server):
    async def kill_repeatedly() -> None:
        await asyncio.to_thread(kill_clients, server)
        await asyncio.sleep(0.1)

    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        session_ids = [await manager.allocate_session() for _ in range(50)]
        end, latest = time.monotonic() + SECONDS, time.monotonic() + PATIENCE
        counted, unknown = [0] * 50, [0] * 50

        def is_over() -> bool:
            now = time.monotonic()
            return now >= latest or (now >= end and backend.stats().reconnects >= SECONDS * 5)

        async def work(index: int) -> None:
            session_id, number = session_ids[index], 0
            while not is_over():
                number += 1
                assert await manager.increment_session_counter(session_id, "once", idempotency_key=str(number)) == (
                    True,
                    number,
                )
                text = b"%d-%d" % (index, number)
                assert await echo(backend, text) == text
                try:
                    await manager.increment_session_counter(session_id, "n")
                    counted[index] += 1
                except OutcomeUnknownError:
                    unknown[index] += 1

        async with meanwhile(kill_repeatedly):
            await asyncio.gather(*(work(index) for index in range(50)))
        for index, session_id in enumerate(session_ids):
            info = await manager.get_session_info(session_id)
            assert info is not None
            assert counted[index] <= info["custom_metadata"]["n"] <= counted[index] + unknown[index]
        assert backend.stats().reconnects >= SECONDS * 5


@pytest.mark.quiet
async def test_calls_to_a_suspended_server_return_by_their_deadlines(own_server: Server):
    timeout = 0.5
    async with backend_on(own_server.url, call_timeout=timeout, connect_timeout=timeout) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        longest, failed = 0.0, 0
        end = time.monotonic() + 4.0

        async def work() -> None:
            nonlocal longest, failed
            while time.monotonic() < end:
                began = time.monotonic()
                try:
                    await manager.validate_session(session_id)
                except ProviderError:
                    failed += 1
                longest = max(longest, time.monotonic() - began)
                await asyncio.sleep(0.002)

        workers = [asyncio.create_task(work()) for _ in range(100)]
        own_server.signal(signal.SIGSTOP)
        await asyncio.sleep(3.0)
        own_server.signal(signal.SIGCONT)
        again, answered = time.monotonic(), False
        while not answered:
            with suppress(SessionUnavailableError):
                answered = await manager.validate_session(session_id)
        assert time.monotonic() - again < 1.0
        await asyncio.gather(*workers)
        assert longest < timeout + 0.1
        assert failed > 0
        failed = 0
        end = time.monotonic() + 0.2
        await work()
        assert failed == 0


async def test_calls_wait_for_a_server_that_is_loading(own_server: Server):
    with own_server.client() as client:
        client.mset({f"k{number}": "v" for number in range(3000)})
        client.config_set("appendonly", "no")
        client.save()
    own_server.kill()
    own_server.command += ["--appendonly", "no", "--key-load-delay", "300"]
    own_server.command += ["--loading-process-events-interval-bytes", "1024"]
    async with backend_on(own_server.url, call_timeout=10.0, retries=100) as backend:
        restarted = asyncio.create_task(asyncio.to_thread(own_server.restart))
        manager = manager_on(backend)
        assert await manager.allocate_session()
        await restarted


async def test_calls_wait_for_a_busy_script(own_server: Server):
    with own_server.client() as client:
        client.config_set(BUSY_SETTING, BUSY_AFTER_MS)

    def block_server() -> None:
        with own_server.client() as client:
            client.eval(BUSY_LOOP, 0, 400)

    async with backend_on(own_server.url) as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        blocking = asyncio.create_task(asyncio.to_thread(block_server))
        end = time.monotonic() + 0.6
        count = 0
        while time.monotonic() < end:
            count += 1
            assert await manager.increment_session_counter(session_id, "n") == (True, count)
        await blocking
        assert backend.stats().retries > 0
