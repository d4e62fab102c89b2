"""Relays as processes: kill -9 loses nothing, and another relay takes over."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from chuk_sessions import SessionManager
from chuk_sessions.events import WebhookEndpoints, session_hash
from chuk_sessions.providers import redis
from tests.harness.children import python
from tests.harness.ports import free_port
from tests.harness.receiver import OK, receiving, response, wait_until
from tests.webhooks.relay_processes import relay

NUMBER = 60
TAKEOVER_SECONDS = 40
"""Ten times the lease of messages in these tests."""


class Deployment:
    """An application and its endpoints on a server."""

    def __init__(self, server):
        self.factory = redis.factory(server.url)
        self.manager = SessionManager("shop", self.factory, events=True)
        self.endpoints = WebhookEndpoints(self.factory)
        self.ended = []

    async def end_sessions(self, number):
        for _ in range(number):
            session_id = await self.manager.allocate_session(user_id="alice")
            await self.manager.delete_session(session_id)
            self.ended.append(session_id)

    def missing(self, receiver):
        received = {body["data"]["session_hash"] for body in receiver.bodies}
        return {session_hash(session_id) for session_id in self.ended} - received

    async def wait_until_complete(self, receiver):
        give_up = time.monotonic() + TAKEOVER_SECONDS
        while self.missing(receiver):
            assert time.monotonic() < give_up, f"{len(self.missing(receiver))} of {len(self.ended)} are missing"
            await asyncio.sleep(0.05)

    async def aclose(self):
        await self.endpoints.aclose()
        await self.manager.aclose()


@pytest.fixture
async def deployment(server):
    found = Deployment(server)
    yield found
    await found.aclose()


async def test_two_relays_share_the_work_and_one_takes_over_when_the_other_is_killed(deployment, server):
    async with receiving() as receiver:
        receiver.respond = lambda _: slowly()
        await deployment.endpoints.add(receiver.url, types=["session.ended"], allow_private=True)
        with relay(server) as first, relay(server) as second:
            await deployment.end_sessions(NUMBER)
            await receiver.wait_for(NUMBER // 4)
            first.process.kill()
            await deployment.end_sessions(NUMBER)
            await deployment.wait_until_complete(receiver)
            second.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait) == 0
    repeated = len(receiver.ids) - len(set(receiver.ids))
    assert len(set(receiver.ids)) == 2 * NUMBER
    # Only messages that were in flight when the relay was killed, or not acknowledged yet, arrive twice.
    assert repeated <= 40
    assert not any(
        session_id.encode() in request.raw for request in receiver.requests for session_id in deployment.ended
    )


async def slowly():
    await asyncio.sleep(0.01)
    return OK


async def test_retries_outlive_the_relay(deployment, server):
    async with receiving() as receiver:
        receiver.respond = lambda _: response(500)
        endpoint = await deployment.endpoints.add(receiver.url, types=["session.ended"], allow_private=True)
        with relay(server) as first:
            await deployment.end_sessions(5)
            await receiver.wait_for(5)
            await wait_until(lambda: failed(server, endpoint.id) == 5)
            first.process.kill()
            first.process.wait()
        make_due(server, endpoint.id)
        receiver.respond = lambda _: OK
        with relay(server):
            await receiver.wait_for(10)
    assert sorted(receiver.ids[:5]) == sorted(receiver.ids[5:])


def failed(server, endpoint_id):
    """Return how many messages of an endpoint have failed once."""
    with server.client() as client:
        (key,) = client.scan_iter(f"*messages:{endpoint_id}")
        return sum(b'"n":1' in text.replace(b" ", b"") for text in client.hvals(key))


def make_due(server, endpoint_id):
    """Make the next attempts due at once, as if time had passed."""
    with server.client() as client:
        (key,) = client.scan_iter(f"*waiting:{endpoint_id}")
        client.zadd(key, dict.fromkeys(client.zrange(key, 0, -1), 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_relay_stops_at_a_signal_after_its_attempts(deployment, server, number):
    async def later():
        await asyncio.sleep(0.4)
        return OK

    async with receiving() as receiver:
        receiver.respond = lambda _: later()
        endpoint = await deployment.endpoints.add(receiver.url, types=["session.ended"], allow_private=True)
        with relay(server) as child:
            await deployment.end_sessions(3)
            await receiver.wait_for(3)
            child.process.send_signal(number)
            assert await asyncio.to_thread(child.wait) == 0
            assert "Traceback" not in child.printed()
    assert len(receiver.ids) == 3
    with server.client() as client:
        assert list(client.scan_iter(f"*waiting:{endpoint.id}")) == []


def test_a_store_that_cannot_be_reached_is_an_error():
    code = "import sys; from chuk_sessions.events.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, "relay", "--url", f"redis://127.0.0.1:{free_port()}/0", SESSION_REDIS_CALL_TIMEOUT="0.5")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
