"""The relay: each event reaches each endpoint that wants it, however the endpoint behaves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
import standardwebhooks
import svix.webhooks

from chuk_sessions.events import EventReaders, WebhookRelay, session_hash
from chuk_sessions.events.webhooks.schedule import ATTEMPTS, DELAYS_MS
from chuk_sessions.providers import memory
from tests.harness.receiver import OK, receiving, response, wait_until
from tests.harness.webhooks import Webhooks

ENDED = ("session.ended",)
LIBRARIES = (standardwebhooks.Webhook, svix.webhooks.Webhook)


async def wait_for_state(webhooks, endpoint, **expected):
    """Wait until an endpoint has these attributes."""
    async with asyncio.timeout(30):
        while True:
            found = await webhooks.endpoints.get(endpoint.id)
            if all(getattr(found, name) == value for name, value in expected.items()):
                return found
            await asyncio.sleep(0.01)


async def wait_for_letters(webhooks, endpoint):
    """Wait until an endpoint has a dead letter."""
    async with asyncio.timeout(30):
        while not await webhooks.endpoints.dead_letters(endpoint.id):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def settled(relay):
    """Wait until the results of all attempts were stored. Only then may a test move the clock."""
    await wait_until(lambda: not any(worker._attempts for worker in relay._workers.values()))


def test_refuses_a_lease_that_is_too_short_to_be_renewed():
    with pytest.raises(ValueError, match=r"lease_seconds must be at least 0\.1"):
        WebhookRelay(memory.factory(), lease_seconds=0.09)


async def test_delivers_events_with_signatures_and_without_ids(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay():
        endpoint = await webhooks.add(receiver)
        ids = await webhooks.end_sessions(3)
        await receiver.wait_for(6)
    types = Counter(body["type"] for body in receiver.bodies)
    assert types == {"session.created": 3, "session.ended": 3}
    assert {body["data"]["session_hash"] for body in receiver.bodies} == set(map(session_hash, ids))
    assert {body["data"]["user_id"] for body in receiver.bodies} == {"alice"}
    assert {body["data"]["id"] for body in receiver.bodies} == set(receiver.ids)
    for request in receiver.requests:
        for library in LIBRARIES:
            library(endpoint.secret).verify(request.body, request.headers)
        assert not any(session_id.encode() in request.raw for session_id in ids)


async def test_events_of_one_session_arrive_in_order_at_an_ordered_endpoint(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay():
        await webhooks.add(receiver, ordered=True)
        ids = await webhooks.end_sessions(5)
        await receiver.wait_for(10)
    for session_id in ids:
        mine = [body["type"] for body in receiver.bodies if body["data"]["session_hash"] == session_hash(session_id)]
        assert mine == ["session.created", "session.ended"]
    assert receiver.most_open == 1


async def test_an_endpoint_receives_only_the_types_and_sandboxes_that_it_wants(world):
    webhooks = Webhooks(world)
    async with receiving() as ends, receiving() as others, webhooks.relay():
        await webhooks.add(ends, types=ENDED)
        await webhooks.add(others, sandboxes=["other"])
        await webhooks.end_sessions(2)
        await webhooks.end_sessions(1, sandbox_id="other")
        await asyncio.gather(ends.wait_for(3), others.wait_for(2))
    assert {body["type"] for body in ends.bodies} == {"session.ended"}
    assert {body["data"]["sandbox_id"] for body in others.bodies} == {"other"}
    assert (len(ends.requests), len(others.requests)) == (3, 2)


async def test_events_before_the_relay_starts_are_delivered_and_those_before_the_endpoint_are_not(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver:
        await webhooks.end_sessions(2)
        await webhooks.add(receiver, types=ENDED)
        ids = await webhooks.end_sessions(2)
        async with webhooks.relay():
            await receiver.wait_for(2)
    assert {body["data"]["session_hash"] for body in receiver.bodies} == set(map(session_hash, ids))


async def test_a_relay_continues_where_another_has_stopped(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver:
        await webhooks.add(receiver, types=ENDED)
        for number in (1, 2, 3):
            await webhooks.end_sessions(2)
            async with webhooks.relay():
                await receiver.wait_for(2 * number)
    assert len(set(receiver.ids)) == len(receiver.ids) == 6


async def test_an_endpoint_that_answers_500_for_an_hour_gets_every_event(world):
    webhooks = Webhooks(world)
    up_again = world.clock.now_ms() + 3_600_000
    async with receiving() as receiver, webhooks.relay() as relay:
        receiver.respond = lambda _: OK if world.clock.now_ms() >= up_again else response(500)
        endpoint = await webhooks.add(receiver, types=ENDED)
        await webhooks.end_sessions(3)
        for attempts, delay in enumerate([0, *DELAYS_MS[:4]]):
            await world.advance(ms=round(1.1 * delay))
            await receiver.wait_for(3 * (attempts + 1))
            if attempts < 4:
                await wait_for_state(webhooks, endpoint, failing_since=up_again - 3_600_000)
                await settled(relay)
        await wait_for_state(webhooks, endpoint, failing_since=None)
        await world.advance(hours=100)
        await asyncio.sleep(0.1)
    assert Counter(receiver.ids) == dict.fromkeys(receiver.ids, 5)
    assert len(set(receiver.ids)) == 3
    assert await webhooks.endpoints.dead_letters(endpoint.id) == []


async def test_a_slow_endpoint_delays_no_other_and_has_a_limit(world):
    webhooks = Webhooks(world)
    async with receiving() as slow, receiving() as quick, webhooks.relay(in_flight=3, timeout_seconds=300):
        never = asyncio.Event()

        async def hang(_):
            await never.wait()
            return OK

        slow.respond = hang
        await webhooks.add(slow)
        await webhooks.add(quick)
        await webhooks.end_sessions(20)
        await quick.wait_for(40)
        assert slow.most_open == len(slow.requests) == 3
        never.set()
        await slow.wait_for(40)
        assert slow.most_open == 3


async def test_an_ordered_endpoint_waits_for_the_message_that_failed(world):
    webhooks = Webhooks(world)
    refused = 2

    def respond(_):
        nonlocal refused
        refused -= 1
        return response(503) if refused >= 0 else OK

    async with receiving() as receiver, webhooks.relay() as relay:
        receiver.respond = respond
        await webhooks.add(receiver, types=ENDED, ordered=True)
        await webhooks.end_sessions(4)
        await receiver.wait_for(1)
        for number, delay in enumerate(DELAYS_MS[:2], start=2):
            await settled(relay)
            assert len(receiver.requests) == number - 1
            await world.advance(ms=round(1.1 * delay))
            await receiver.wait_for(number)
        await receiver.wait_for(6)
    assert len(set(receiver.ids[:3])) == 1
    assert len(set(receiver.ids)) == 4
    assert receiver.most_open == 1


async def test_an_endpoint_that_is_gone_is_disabled_until_somebody_enables_it(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay():
        receiver.respond = lambda _: response(410)
        endpoint = await webhooks.add(receiver, types=ENDED, ordered=True)
        await webhooks.end_sessions(2)
        await wait_for_state(webhooks, endpoint, enabled=False, disabled_because="gone")
        await webhooks.end_sessions(1)
        receiver.respond = lambda _: OK
        await world.advance(hours=1)
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 1
        await webhooks.endpoints.enable(endpoint.id)
        await receiver.wait_for(4)
    assert len(set(receiver.ids)) == 3


async def test_an_endpoint_that_keeps_failing_is_disabled_and_others_are_told(world):
    webhooks = Webhooks(world)
    async with receiving() as broken, receiving() as other, receiving() as tenant, webhooks.relay() as relay:
        broken.respond = lambda _: response(500)
        endpoint = await webhooks.add(broken, types=ENDED)
        await webhooks.add(other, types=["endpoint.disabled"])
        await webhooks.add(tenant, sandboxes=["tenant"])
        await webhooks.end_sessions(1)
        for number in range(1, ATTEMPTS + 1):
            await broken.wait_for(number)
            await settled(relay)
            await world.advance(hours=23)
        await wait_for_state(webhooks, endpoint, enabled=False, disabled_because="failing")
        await other.wait_for(1)
        (letter,) = await webhooks.endpoints.dead_letters(endpoint.id)
        assert (letter.attempts, letter.last_error, letter.id) == (ATTEMPTS, "status 500", broken.ids[0])
        broken.respond = lambda _: OK
        assert await webhooks.endpoints.resend(endpoint.id) == 1
        await webhooks.endpoints.enable(endpoint.id)
        await broken.wait_for(ATTEMPTS + 1)
        await wait_until(lambda: broken.open == 0)
    assert len(set(other.ids)) == 1
    told = other.bodies[0]
    assert told["type"] == "endpoint.disabled"
    assert told["data"] == {"endpoint_id": endpoint.id, "origin": broken.url.removesuffix("/hook"), "reason": "failing"}
    assert tenant.requests == []
    assert set(broken.ids) == {letter.id}
    assert await webhooks.endpoints.dead_letters(endpoint.id) == []


async def test_one_bad_message_does_not_disable_an_endpoint_that_accepts_others(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay() as relay:
        endpoint = await webhooks.add(receiver, types=ENDED)
        await webhooks.end_sessions(1)
        await receiver.wait_for(1)
        bad = set()
        receiver.respond = lambda request: response(400) if request.id in bad or not bad else OK
        bad_id = None
        await webhooks.end_sessions(1)
        await receiver.wait_for(2)
        bad_id = receiver.ids[-1]
        bad.add(bad_id)
        for number in range(2, ATTEMPTS + 1):
            await settled(relay)
            await world.advance(hours=23)
            await webhooks.end_sessions(1)
            await wait_until(lambda number=number: receiver.ids.count(bad_id) == number)
        await wait_for_letters(webhooks, endpoint)
        assert (await webhooks.endpoints.get(endpoint.id)).enabled


async def test_retry_after_is_honored(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay() as relay:
        receiver.respond = lambda _: response(429, Retry_After="3000")
        await webhooks.add(receiver, types=ENDED)
        await webhooks.end_sessions(1)
        await receiver.wait_for(1)
        await settled(relay)
        await world.advance(seconds=2999)
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 1
        await world.advance(seconds=1)
        await receiver.wait_for(2)


async def test_a_success_at_the_same_time_as_a_failure_counts(world):
    webhooks = Webhooks(world)
    first_failed = asyncio.Event()
    bad = set()

    async def respond(request):
        if not bad:
            bad.add(request.id)
        if request.id in bad:
            return response(500)
        await first_failed.wait()
        return OK

    async with receiving() as receiver, webhooks.relay(timeout_seconds=300) as relay:
        receiver.respond = respond
        endpoint = await webhooks.add(receiver, types=ENDED)
        await webhooks.end_sessions(2)
        await receiver.wait_for(2)
        await wait_until(lambda: relay._workers[endpoint.id]._endpoint.failing_since is not None)
        first_failed.set()
        await wait_for_state(webhooks, endpoint, failing_since=None)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_body_is_valid_json_whatever_the_user_is_called(world, library):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay():
        endpoint = await webhooks.add(receiver, types=ENDED)
        await webhooks.end_sessions(1, user_id="\ud800\u00e9")
        await receiver.wait_for(1)
    (request,) = receiver.requests
    library(endpoint.secret).verify(request.body, request.headers)
    assert json.loads(request.body)["data"]["user_id"] == "\ud800\u00e9"


@pytest.mark.parametrize("library", LIBRARIES)
async def test_both_secrets_are_accepted_while_a_secret_is_rotated(world, library):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay() as relay:
        old = await webhooks.add(receiver, types=ENDED)
        await wait_until(lambda: relay.endpoint_ids == [old.id])
        new = await webhooks.endpoints.rotate_secret(old.id, overlap_hours=1)
        assert new.secret != old.secret
        await wait_until(lambda: relay._workers[old.id]._endpoint == new)
        await webhooks.end_sessions(1)
        await receiver.wait_for(1)
    (request,) = receiver.requests
    for endpoint in (old, new):
        library(endpoint.secret).verify(request.body, request.headers)
    assert new.valid_secrets(world.clock.now_ms()) == [new.secret, old.secret]
    assert new.valid_secrets(world.clock.now_ms() + 3_600_000) == [new.secret]


async def test_a_removed_endpoint_gets_nothing_and_leaves_nothing(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay() as relay:
        endpoint = await webhooks.add(receiver)
        await webhooks.end_sessions(1)
        await receiver.wait_for(2)
        assert await webhooks.endpoints.remove(endpoint.id)
        assert not await webhooks.endpoints.remove(endpoint.id)
        await wait_until(lambda: relay.endpoint_ids == [])
        await webhooks.end_sessions(1)
        await asyncio.sleep(0.2)
    assert len(receiver.requests) == 2
    assert await webhooks.endpoints.list() == []
    # A reader that nobody uses would keep events in the store.
    readers = EventReaders(world.factory)
    assert await readers.list() == []
    await readers.aclose()


async def test_the_reader_of_a_removed_endpoint_is_forgotten_even_if_a_relay_has_read_since(world):
    webhooks = Webhooks(world)
    readers = EventReaders(world.factory)
    async with receiving() as receiver:
        endpoint = await webhooks.add(receiver)
        async with webhooks.relay(poll_seconds=1, lease_seconds=0.3) as relay:
            assert relay.endpoint_ids == [endpoint.id]
            await webhooks.endpoints.remove(endpoint.id)
            await wait_until(lambda: relay.endpoint_ids == [])
    assert await readers.list() == []
    await readers.aclose()


async def test_stopping_waits_for_the_attempts_in_flight(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver:

        async def slowly(_):
            await asyncio.sleep(0.3)
            return OK

        receiver.respond = slowly
        await webhooks.add(receiver, types=ENDED)
        async with webhooks.relay():
            await webhooks.end_sessions(3)
            await receiver.wait_for(3)
        await world.advance(hours=1)
        async with webhooks.relay():
            await asyncio.sleep(0.2)
    assert len(receiver.ids) == 3


async def test_a_name_that_resolves_to_a_private_address_is_refused(world):
    webhooks = Webhooks(world)
    async with receiving() as receiver, webhooks.relay():
        port = receiver.url.split(":")[2]
        endpoint = await webhooks.endpoints.add(f"https://localhost:{port}", types=ENDED)
        await webhooks.end_sessions(1)
        await wait_for_state(webhooks, endpoint, failing_since=world.clock.now_ms())
    assert receiver.requests == []
