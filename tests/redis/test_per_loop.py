"""Event loops: one after another, in threads, of both kinds; and closing in good order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from chuk_sessions.backends.redis import RedisBackend, per_loop
from chuk_sessions.exceptions import ProviderError
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import (
    backend_on,
    connections_named,
    connections_so_far,
    echo,
    manager_on,
    until,
    wait_until_closed,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
KINDS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def some(backend: RedisBackend, count: int = 50) -> None:
    texts = [b"%d-%d" % (id(asyncio.get_running_loop()), number) for number in range(count)]
    assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts


@KINDS
def test_loops_one_after_another_have_links_of_their_own(server: Server, run: Run):
    backend = RedisBackend(server.url, client_name="loops")
    for _ in range(5):
        run(some(backend))
        wait_until_closed(server, "loops")
    assert backend.stats().connections == 0


@KINDS
@pytest.mark.parametrize("way", ["unix", "tls"])
def test_both_kinds_of_loop_take_over_every_kind_of_connection(
    server: Server, certificates: Certificates, run: Run, way: str
):
    with Proxy(server.port, tls=certificates.context) as proxy:
        tls = f"rediss://localhost:{proxy.port}?{certificates.query}"
        backend = RedisBackend(tls if way == "tls" else f"unix://{server.folder}/socket", client_name="taken")

        async def main() -> None:
            await some(backend)
            large = b"x" * (3 << 20)
            assert await echo(backend, large) == large
            with server.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await some(backend)

        run(main())
        wait_until_closed(server, "taken")


@KINDS
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
            await some(backend)

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


@KINDS
def test_aclose_lets_calls_under_way_have_their_replies(server: Server, run: Run):
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


@KINDS
def test_aclose_does_not_wait_for_a_server_that_hangs_longer_than_calls_do(server: Server, run: Run):
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


@KINDS
def test_a_loop_that_ends_with_calls_under_way_leaves_nothing(server: Server, run: Run):
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
    run(some(backend))


async def test_a_backend_that_calls_nobody_connects_to_nobody(server: Server):
    before = connections_so_far(server)
    async with backend_on(server.url) as backend:
        manager_on(backend)
        assert backend.stats().connections == 0
    # This very question takes a connection, too.
    assert connections_so_far(server) == before + 1


def test_what_a_forked_child_does_first_is_to_leave_the_parents_connections_alone(server: Server):
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
def test_the_end_of_the_process_closes_what_closed_loops_have_left(
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
