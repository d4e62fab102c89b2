"""Connections per event loop: consecutive loops, loops in threads, both kinds of loops, and orderly shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chuk_sessions.backends.redis import RedisBackend, per_loop
from chuk_sessions.exceptions import ProviderError
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import (
    EVENT_LOOPS,
    backend_on,
    connections_named,
    connections_so_far,
    echo,
    kill_clients,
    manager_on,
    until,
    wait_until_closed,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def echo_many(backend: RedisBackend, count: int = 50) -> None:
    """Assert that concurrent calls get their own replies."""
    texts = [b"%d-%d" % (id(asyncio.get_running_loop()), number) for number in range(count)]
    assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts


@EVENT_LOOPS
def test_consecutive_loops_have_their_own_connections(server: Server, run: Run):
    backend = RedisBackend(server.url, client_name="loops")
    for _ in range(5):
        run(echo_many(backend))
        wait_until_closed(server, "loops")
    assert backend.stats().connections == 0


@EVENT_LOOPS
@pytest.mark.parametrize("transport", ["unix", "tls"])
def test_both_kinds_of_loops_with_every_transport(server: Server, certificates: Certificates, run: Run, transport: str):
    with Proxy(server.port, tls=certificates.context) as proxy:
        tls = f"rediss://localhost:{proxy.port}?{certificates.query}"
        backend = RedisBackend(tls if transport == "tls" else f"unix://{server.folder}/socket", client_name="taken")

        async def main() -> None:
            await echo_many(backend)
            large = b"x" * (3 << 20)
            assert await echo(backend, large) == large
            kill_clients(server)
            await echo_many(backend)

        run(main())
        wait_until_closed(server, "taken")


@EVENT_LOOPS
def test_threads_with_loops_of_their_own(server: Server, run: Run):
    backend = RedisBackend(server.url, client_name="threads")
    failures: list[BaseException] = []
    barrier = threading.Barrier(8)

    async def work() -> None:
        await echo(backend, b"first")
        barrier.wait()
        assert len(connections_named(server, "threads")) == 8
        barrier.wait()
        for _ in range(20):
            await echo_many(backend)

    def thread() -> None:
        try:
            run(work())
        except BaseException as failure:  # reported by the test's thread
            failures.append(failure)

    threads = [threading.Thread(target=thread) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failures
    wait_until_closed(server, "threads")


@EVENT_LOOPS
def test_aclose_waits_for_replies_to_calls_in_flight(server: Server, run: Run):
    async def main() -> None:
        backend = RedisBackend(server.url, client_name="closed", max_in_flight=10)
        await echo(backend, b"first")
        order: list[int] = []

        async def call(number: int) -> None:
            assert await echo(backend, b"%d" % number) == b"%d" % number
            order.append(number)

        calls = [asyncio.ensure_future(call(number)) for number in range(10)]
        await asyncio.sleep(0)
        await backend.aclose()
        await asyncio.gather(*calls)
        assert order == list(range(10))
        assert backend.stats().connections == 0
        assert not connections_named(server, "closed")
        assert await echo(backend, b"again") == b"again"
        await backend.aclose()
        await backend.aclose()

    run(main())


@pytest.mark.quiet
@EVENT_LOOPS
def test_aclose_waits_no_longer_than_calls_for_a_server_that_hangs(server: Server, run: Run):
    async def main() -> None:
        backend = RedisBackend(server.url, call_timeout=0.3)
        await echo(backend, b"first")
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", "700", "ALL")
            call = asyncio.ensure_future(echo(backend, b"x"))
            await asyncio.sleep(0)
            async with asyncio.timeout(0.5):
                await backend.aclose()
            with pytest.raises(ProviderError):
                await call
            client.ping()

    run(main())


@EVENT_LOOPS
def test_a_loop_that_closes_with_calls_in_flight_leaves_no_connection(server: Server, run: Run):
    backend = RedisBackend(server.url, client_name="left", max_in_flight=5)
    tasks: list[asyncio.Future[bytes]] = []

    async def main() -> None:
        await echo(backend, b"first")
        tasks.extend(asyncio.ensure_future(echo(backend, b"%d" % number)) for number in range(100))
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())
    assert all(task.done() for task in tasks)
    wait_until_closed(server, "left")
    run(echo_many(backend))


async def test_a_backend_without_calls_opens_no_connection(server: Server):
    before = connections_so_far(server)
    async with backend_on(server.url) as backend:
        manager_on(backend)
        assert backend.stats().connections == 0
    # The query itself opens a connection, too.
    assert connections_so_far(server) == before + 1


def test_a_forked_child_leaves_the_parents_connections_open(server: Server):
    async def main() -> None:
        backend = RedisBackend(server.url, client_name="forked")
        await echo(backend, b"parent")
        per_loop._after_fork()
        await echo(backend, b"child")
        assert backend.stats().connections == 1
        assert len(connections_named(server, "forked")) == 2
        await backend.aclose()
        await until(lambda: len(connections_named(server, "forked")) == 1)

    asyncio.run(main())
    wait_until_closed(server, "forked")


@pytest.mark.parametrize("encrypted", [False, True])
def test_exit_closes_connections_that_closed_loops_left_open(
    server: Server, certificates: Certificates, encrypted: bool
):
    with Proxy(server.port, tls=certificates.context if encrypted else None) as proxy:
        secure = f"rediss://localhost:{proxy.port}?{certificates.query}"
        backend = RedisBackend(secure if encrypted else f"redis://localhost:{proxy.port}", client_name="left-open")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(echo(backend, b"x"))
        loop.close()
        assert len(connections_named(server, "left-open")) == 1
        per_loop._at_exit()
        wait_until_closed(server, "left-open")
