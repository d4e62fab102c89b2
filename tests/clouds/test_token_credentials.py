"""Tokens are fetched in a thread, shared, renewed in time, and reach the open connections of all loops."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import urllib.error
import urllib.request
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from chuk_sessions.clouds import Token, TokenCredentials
from chuk_sessions.clouds.renewal import MARGIN, RETRY_FIRST, renewal_delay
from chuk_sessions.exceptions import SessionUnavailableError
from tests.clouds.token_service import USER, TokenService
from tests.harness.servers import Server
from tests.redis.tools import backend_on, echo, manager_on, until, works


def credentials_of(service: TokenService) -> TokenCredentials:
    """Return credentials that ask the service, with a request that blocks."""

    def fetch() -> Token:
        try:
            with urllib.request.urlopen(f"{service.url}/msi", timeout=10) as answer:
                token = json.load(answer)["access_token"]
        except urllib.error.HTTPError as error:
            error.close()
            raise
        return Token(USER, token, time.time() + service.lifetime)

    credentials = TokenCredentials(fetch)
    # A failed test may keep the provider alive. Its thread must not outlive the service.
    service.at_end.append(credentials._renewal.stop)
    return credentials


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def test_concurrent_logins_share_one_token(own_server: Server, service: TokenService):
    service.delay = 0.2
    credentials = credentials_of(service)
    found = await asyncio.gather(*[credentials.get_credentials_async() for _ in range(20)])
    assert set(found) == {(USER, service.issued[0])}
    assert credentials.get_credentials() == found[0]
    assert len(service.issued) == 1


async def serve(server: Server, credentials: TokenCredentials, seconds: float) -> tuple[int, float]:
    """Validate a session without pause. Return the number of calls and the longest time that the loop was blocked."""
    longest, calls, loop = 0.0, 0, asyncio.get_running_loop()
    async with backend_on(url_of(server), credentials=credentials, client_name="many") as backend:
        manager = manager_on(backend)
        session_id = await manager.allocate_session()
        begin = last = loop.time()
        while last < begin + seconds:
            assert await manager.validate_session(session_id)
            calls += 1
            await asyncio.sleep(0.001)
            now = loop.time()
            # The store's own pauses, while connections are replaced, are waits and do not block the loop.
            ticked = now
            await asyncio.sleep(0)
            longest, last = max(longest, loop.time() - ticked), now
    return calls, longest


@pytest.mark.quiet
def test_no_call_fails_while_tokens_and_connections_change(own_server: Server, service: TokenService):
    service.delay, service.lifetime = 0.4, 1.6
    credentials, over = credentials_of(service), threading.Event()

    def kill() -> None:
        while not over.wait(0.5):
            service.kill_clients()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with ThreadPoolExecutor() as threads:
            running = [threads.submit(lambda: asyncio.run(serve(own_server, credentials, 3.0))) for _ in range(2)]
            results = [one.result(30) for one in running]
    finally:
        over.set()
        killer.join()
    assert len(service.issued) >= 3
    assert all(calls > 100 for calls, _ in results)
    # A fetch in the loop would block it for 0.4 s.
    assert max(longest for _, longest in results) < service.delay / 2


async def test_open_connections_log_in_again_with_each_new_token(own_server: Server, service: TokenService):
    service.lifetime = 0.6
    credentials = credentials_of(service)
    logins = own_server.client()
    async with backend_on(url_of(own_server), credentials=credentials) as backend:
        await works(backend)
        connections = own_server.client().info("stats")["total_connections_received"]
        assert connections

        def auth_calls() -> int:
            stats = logins.info("commandstats").get("cmdstat_auth", {"calls": 0})
            return int(stats["calls"])

        before = auth_calls()
        await until(lambda: auth_calls() >= before + 3)
        assert backend.stats().reconnects == 0
    logins.close()


async def test_a_failing_service_is_no_problem_before_the_token_expires(
    own_server: Server, service: TokenService, caplog: pytest.LogCaptureFixture
):
    service.lifetime = 2 * MARGIN
    credentials = credentials_of(service)
    async with backend_on(url_of(own_server), credentials=credentials, call_timeout=1.0) as backend:
        await works(backend)
        service.failing = True
        credentials._renewal._renew_at = 0.0
        with credentials._renewal._changed:
            credentials._renewal._changed.notify()
        await until(lambda: "could not renew the credentials" in caplog.text)
        service.kill_clients()
        await works(backend)
        assert service.issued[0] not in caplog.text


async def test_an_expired_token_is_a_typed_error_and_service_resumes(own_server: Server, service: TokenService):
    service.failing = True
    credentials = credentials_of(service)
    async with backend_on(url_of(own_server), credentials=credentials, call_timeout=0.5) as backend:
        with pytest.raises(SessionUnavailableError, match="500"):
            await echo(backend, b"x")
        service.failing = False
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await echo(backend, b"x") == b"x"
                    break
                except SessionUnavailableError:
                    await asyncio.sleep(0.01)


async def test_a_provider_ends_its_thread_with_its_last_reference(own_server: Server, service: TokenService):
    credentials = credentials_of(service)
    await credentials.get_credentials_async()
    thread = credentials._renewal._thread
    assert thread is not None
    gone = weakref.ref(credentials)
    del credentials
    gc.collect()
    assert gone() is None
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_fetches_tokens_of_its_own(own_server: Server, service: TokenService):
    credentials = credentials_of(service)
    parent = credentials.get_credentials()
    child = os.fork()
    if child == 0:
        os._exit(0 if credentials.get_credentials()[1] and credentials._renewal._thread else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert credentials.get_credentials() == parent


@pytest.mark.parametrize("lifetime", [1, 100, 2 * MARGIN, 900, 3600, 86400])
def test_tokens_are_renewed_before_they_expire_with_a_margin_where_possible(lifetime: float):
    for _ in range(100):
        delay = renewal_delay(lifetime)
        assert 0 < delay <= lifetime
        assert lifetime < 2 * MARGIN or lifetime - delay >= MARGIN


@pytest.mark.parametrize("lifetime", [-5, 0])
def test_tokens_that_arrive_expired_are_not_fetched_without_a_pause(lifetime: float):
    assert renewal_delay(lifetime) == RETRY_FIRST


def test_tokens_do_not_show_their_password():
    assert "secret" not in repr(Token("app", "secret", 0.0))
