"""Many concurrent calls on one connection: no call gets the reply of another, and none leaves state after it."""

from __future__ import annotations

import asyncio
import random
import resource

import pytest

from chuk_sessions.exceptions import SessionTimeoutError
from tests.harness.servers import Server
from tests.redis.tools import LONG, backend_on, connections_named, echo, until, until_it_works

CALLS = 200_000 if LONG else 20_000
TASKS = 500


async def test_a_canceled_call_never_shifts_the_replies_of_the_others(server: Server):
    """Every third call is canceled at a random moment: before it is sent, in flight, or when its reply has arrived."""
    seen = {"completed": 0, "canceled": 0}

    async def call(number: int) -> None:
        text = b"%d-%d" % (number, random.getrandbits(60))
        task = asyncio.ensure_future(echo(backend, text + b"." * random.choice((0, 10, 3000))))
        if number % 3 == 0:
            for _ in range(random.randrange(8)):
                await asyncio.sleep(0)
            if random.random() < 0.5:
                await asyncio.sleep(random.random() * 0.003)
            task.cancel()
        try:
            assert (await task).rstrip(b".") == text
            seen["completed"] += 1
        except asyncio.CancelledError:
            seen["canceled"] += 1

    async def caller(first: int) -> None:
        for number in range(first, CALLS, TASKS):
            await call(number)

    async with backend_on(server.url, client_name="storm") as backend:
        await echo(backend, b"first")
        [before] = connections_named(server, "storm")
        await asyncio.gather(*(caller(first) for first in range(TASKS)))
        await until(lambda: backend.stats().in_flight == 0)
        [after] = connections_named(server, "storm")
        assert after["id"] == before["id"]
        stats = backend.stats()
    assert (stats.waiting, stats.reconnects, stats.retries, stats.last_error) == (0, 0, 0, None)
    assert seen["completed"] + seen["canceled"] == CALLS
    assert seen["completed"] >= CALLS * 2 / 3
    assert seen["canceled"] > CALLS / 100


async def test_ten_thousand_concurrent_tasks_use_one_connection_and_little_memory(server: Server):
    async with backend_on(server.url, client_name="many", max_in_flight=100) as backend:
        await echo(backend, b"first")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        highest = 0

        async def call(number: int) -> None:
            nonlocal highest
            text = b"%d" % number
            assert await echo(backend, text + b" " * 1000) == text + b" " * 1000
            highest = max(highest, backend.stats().in_flight)

        await asyncio.gather(*(call(number) for number in range(10_000)))
        assert len(connections_named(server, "many")) == 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
        assert 1 < highest <= 100


async def test_calls_over_the_limit_wait_first_in_first_out(server: Server):
    order: list[int] = []

    async def call(number: int) -> None:
        await echo(backend, b"%d" % number)
        order.append(number)

    async with backend_on(server.url, max_in_flight=3) as backend:
        await asyncio.gather(*(call(number) for number in range(200)))
    assert order == list(range(200))


async def test_a_call_that_waits_too_long_is_a_typed_error(server: Server):
    async with backend_on(server.url, max_in_flight=1, call_timeout=0.3, retries=0) as backend:
        await until_it_works(backend)
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", "600", "ALL")
            results = await asyncio.gather(*(echo(backend, b"x") for _ in range(20)), return_exceptions=True)
            client.ping()
        assert all(isinstance(result, SessionTimeoutError) for result in results)
        assert backend.stats().waiting == 0
        await until_it_works(backend)


@pytest.mark.parametrize("canceled", range(5))
async def test_a_canceled_waiter_gives_its_place_to_the_next(server: Server, canceled: int):
    async with backend_on(server.url, max_in_flight=1) as backend:
        await echo(backend, b"first")
        tasks = [asyncio.ensure_future(echo(backend, b"%d" % number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[canceled].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [result for result in results if isinstance(result, bytes)]
        assert kept == [b"%d" % number for number in range(5) if number != canceled]
        await until(lambda: backend.stats().in_flight == 0)


async def test_calls_larger_than_the_byte_limit_are_sent_one_by_one(server: Server):
    async with backend_on(f"{server.url}") as backend:
        texts = [bytes([65 + number]) * (9 << 20) for number in range(4)] + [b"small"] * 20
        assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts
