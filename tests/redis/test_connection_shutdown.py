"""Loops that are closed without being shut down, and forks: in interpreters where each warning is an error."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from chuk_sessions.backends.redis import RedisBackend
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import connections_named, echo, until, wait_until_gone

FORKING = """
async def child():
    for number in range(50):
        await asyncio.gather(*(call(b"child %d %d" % (number, one)) for one in range(20)))
    return backend.stats().connections

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


def in_a_process(url: str, code: str) -> str:
    """Run the code in an interpreter where every warning is an error; what it prints. `run` and `backend` are there."""
    head = f"""
        import asyncio, gc, os, sys, threading
        from chuk_sessions.backends.redis import RedisBackend
        from tests.redis.tools import echo
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
