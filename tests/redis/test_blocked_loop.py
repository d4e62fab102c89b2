"""Event loops that are blocked for longer than a call may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.exceptions import SessionTimeoutError
from tests.harness.farms import Certificates, Proxy
from tests.harness.servers import Server
from tests.redis.tools import EVENT_LOOPS, backend_on, manager_on, until_it_works

pytestmark = pytest.mark.quiet

TIMEOUT = 0.8
BLOCKED = 1.1
MANY = 70
FEW = 20
"""Fewer calls than are written at once: they are sent at the end of the iteration of the event loop."""

TRANSPORTS = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
Body = Callable[[SessionManager, str], Awaitable[None]]


@contextmanager
def url_of(server: Server, certificates: Certificates, encrypted: bool) -> Iterator[str]:
    if not encrypted:
        yield server.url
        return
    with Proxy(server.port, tls=certificates.context) as proxy:
        yield f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"


def run_on(run: Callable[[Any], Any], url: str, body: Body) -> None:
    async def main() -> None:
        async with backend_on(url, call_timeout=TIMEOUT) as backend:
            manager = manager_on(backend)
            # To connect may take longer than a call may.
            await until_it_works(backend)
            session_id = await manager.allocate_session(custom_metadata={"text": "x" * 20_000})
            await asyncio.gather(*(manager.increment_session_counter(session_id, "n") for _ in range(MANY)))
            await asyncio.gather(*(manager.get_session_info(session_id) for _ in range(MANY)))
            await body(manager, session_id)
            assert backend.stats().reconnects == 0

    run(main())


async def iterations(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@EVENT_LOOPS
@TRANSPORTS
def test_replies_that_wait_in_the_socket_arrive_in_time(
    server: Server, certificates: Certificates, run: Any, encrypted: bool
):
    async def body(manager: SessionManager, session_id: str) -> None:
        for number in (2, 5):
            adds = [asyncio.ensure_future(manager.increment_session_counter(session_id, "n")) for _ in range(MANY)]
            reads = [asyncio.ensure_future(manager.get_session_info(session_id)) for _ in range(MANY)]
            await iterations(number)
            time.sleep(BLOCKED)  # noqa: ASYNC251
            assert all(await asyncio.gather(*reads))
            assert all(one is not None and one.applied for one in await asyncio.gather(*adds))

    with url_of(server, certificates, encrypted) as url:
        run_on(run, url, body)


@EVENT_LOOPS
@TRANSPORTS
def test_calls_that_were_not_sent_before_the_block_are_never_sent(
    server: Server, certificates: Certificates, run: Any, encrypted: bool
):
    async def body(manager: SessionManager, session_id: str) -> None:
        calls = [asyncio.ensure_future(manager.increment_session_counter(session_id, "n")) for _ in range(FEW)]
        await iterations(1)
        time.sleep(BLOCKED)  # noqa: ASYNC251
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {SessionTimeoutError}
        assert await manager.increment_session_counter(session_id, "n", 0) == (True, MANY)

    with url_of(server, certificates, encrypted) as url:
        run_on(run, url, body)


@EVENT_LOOPS
def test_a_call_of_the_callback_that_blocked_the_loop_has_its_full_timeout(
    server: Server, certificates: Certificates, run: Any
):
    async def body(manager: SessionManager, session_id: str) -> None:
        await iterations(1)
        time.sleep(BLOCKED)  # noqa: ASYNC251
        assert await manager.increment_session_counter(session_id, "n") == (True, MANY + 1)

    run_on(run, server.url, body)
