"""Event loops: one after another, in threads, of both kinds, closed in order or not, and forked away from."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from chuk_sessions.backends.redis import RedisBackend
from chuk_sessions.exceptions import ProviderError
from tests.farm import Certificates, Proxy
from tests.link.tools import backend_on, connections_named, connections_so_far, echo, manager_on, until
from tests.servers import Server

Run = Callable[[Coroutine[Any, Any, Any]], Any]
KINDS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])

FORKING = """
async def child():
    for number in range(50):
        await asyncio.gather(*(call(b"child %d %d" % (number, one)) for one in range(20)))
    return backend.stats().links

async def parent(pid=None):
    for number in range(50):
        await asyncio.gather(*(call(b"parent %d %d" % (number, one)) for one in range(20)))
    if pid is not None:
        assert os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1]) == 0
    await call(b"after")
    assert backend.stats().reconnects == 0

def fork():
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if in_thread(child) == 1 else 2
        finally:
            os._exit(code)
    return pid

def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work())))
    thread.start()
    thread.join()
    gc.collect()
    return found[0]

async def in_a_loop():
    await parent()
    await parent(fork())

def between_loops():
    one = asyncio.new_event_loop()
    one.run_until_complete(parent())
    one.run_until_complete(parent(fork()))
    one.run_until_complete(one.shutdown_asyncgens())
    one.run_until_complete(one.shutdown_default_executor())
    one.close()
"""
"""Parent and child at work on the same server after a fork."""


def wait_until_gone(server: Server, name: str) -> None:
    asyncio.run(until(lambda: not connections_named(server, name)))


async def some(backend: RedisBackend, count: int = 50) -> None:
    texts = [b"%d-%d" % (id(asyncio.get_running_loop()), number) for number in range(count)]
    assert await asyncio.gather(*(echo(backend, text) for text in texts)) == texts


@KINDS
def test_loops_one_after_another_have_links_of_their_own(server: Server, run: Run):
    backend = RedisBackend(server.url, client_name="loops")
    for _ in range(5):
        run(some(backend))
        wait_until_gone(server, "loops")
    assert backend.stats().links == 0


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
        wait_until_gone(server, "taken")


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
    wait_until_gone(server, "threads")


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
        assert backend.stats().links == 0
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
    wait_until_gone(server, "left")
    run(some(backend))


def in_a_process(url: str, code: str) -> str:
    """Run the code in an interpreter where every warning is an error; what it prints. `run` and `backend` are there."""
    head = f"""
        import asyncio, gc, os, sys, threading
        from chuk_sessions.backends.redis import RedisBackend
        from tests.link.tools import echo
        backend = RedisBackend({url!r}, client_name="process")
        async def call(text=b"x"):
            assert await echo(backend, text) == text
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(head) + textwrap.dedent(code)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("end", ["one.close()", "shut_down(one)"])
def test_no_way_to_end_a_loop_leaves_a_warning(server: Server, certificates: Certificates, scheme: str, end: str):
    """Also when a loop is closed without being shut down, which is not how it should be."""
    code = f"""
        def shut_down(one):
            one.run_until_complete(one.shutdown_asyncgens())
            one.close()

        for _ in range(4):
            one = asyncio.new_event_loop()
            one.run_until_complete(call())
            {end}
        del one
        gc.collect()
    """
    with Proxy(server.port, tls=certificates.context if scheme == "rediss" else None) as proxy:
        in_a_process(f"{scheme}://localhost:{proxy.port}?{certificates.query if scheme == 'rediss' else ''}", code)
        asyncio.run(until(lambda: proxy.open == 0))


def test_a_closed_loops_socket_does_not_outlive_the_next_loops_first_call(server: Server):
    backend = RedisBackend(server.url, client_name="sloppy")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(echo(backend, b"x"))
    loop.close()
    assert len(connections_named(server, "sloppy")) == 1

    async def next_one() -> None:
        await echo(backend, b"y")
        await until(lambda: len(connections_named(server, "sloppy")) == 1)

    asyncio.run(next_one())
    gc.collect()
    wait_until_gone(server, "sloppy")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("start", ["in a loop", "between loops"])
def test_a_fork_has_links_of_its_own_and_leaves_the_parents_alone(server: Server, start: str):
    last = "asyncio.run(in_a_loop())" if start == "in a loop" else "between_loops()"
    in_a_process(server.url, FORKING + last)


async def test_a_backend_that_calls_nobody_connects_to_nobody(server: Server):
    before = connections_so_far(server)
    async with backend_on(server.url) as backend:
        manager_on(backend)
        assert backend.stats().links == 0
    # This very question takes a connection, too.
    assert connections_so_far(server) == before + 1
