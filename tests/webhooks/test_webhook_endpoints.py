"""WebhookEndpoints: what the store keeps about endpoints."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions import NotSupportedError
from chuk_sessions.core import queue_operations
from chuk_sessions.encryption import Encryption, generate_key
from chuk_sessions.events import WebhookEndpoints
from chuk_sessions.events.webhooks.endpoint import Endpoint
from chuk_sessions.events.webhooks.endpoint_store import EndpointStore, Message
from chuk_sessions.events.webhooks.sealing import Sealer
from tests.harness.webhooks import Webhooks

URL = "https://hooks.example/x"
ENCRYPTION = Encryption(keys={"a": generate_key()}, primary="a")


async def test_an_endpoint_is_as_it_was_added(world):
    endpoints = Webhooks(world).endpoints
    added = await endpoints.add(URL, types=["session.ended"], sandboxes=("a", "b"), ordered=True)
    assert await endpoints.list() == [added] == [await endpoints.get(added.id)]
    assert (added.url, added.types, added.sandboxes, added.ordered) == (URL, ("session.ended",), ("a", "b"), True)
    assert added.enabled
    assert added.secret.startswith("whsec_")
    assert added.secret not in repr(added)


BAD = [
    {"url": "http://hooks.example/"}, {"url": "https://127.0.0.1/"}, {"url": 1}, {"types": []}, {"types": ["x"]},
    {"types": "session"}, {"sandboxes": []}, {"sandboxes": ["a/b"]}, {"sandboxes": [1]},
]  # fmt: skip


@pytest.mark.parametrize("arguments", BAD, ids=range(len(BAD)))
async def test_malformed_arguments_are_refused(world, arguments):
    endpoints = Webhooks(world).endpoints
    with pytest.raises(ValueError):  # noqa: PT011
        await endpoints.add(**{"url": URL, **arguments})
    assert await endpoints.list() == []


async def test_an_unknown_endpoint_is_an_error(world):
    endpoints = Webhooks(world).endpoints
    for method in (
        endpoints.get, endpoints.rotate_secret, endpoints.enable, endpoints.disable, endpoints.dead_letters,
        endpoints.resend,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no endpoint"):
            await method("ep_other")
    assert not await endpoints.remove("ep_other")


async def test_concurrent_changes_are_not_lost(world):
    endpoints = Webhooks(world).endpoints
    added = await endpoints.add(URL)
    await asyncio.gather(*[endpoints.rotate_secret(added.id) for _ in range(5)], endpoints.disable(added.id))
    found = await endpoints.get(added.id)
    assert len(found.secrets) == 6
    assert found.secrets[-1][0] == added.secret
    assert (found.enabled, found.disabled_because) == (False, "request")


async def test_expired_secrets_are_dropped_at_the_next_rotation(world):
    endpoints = Webhooks(world).endpoints
    added = await endpoints.add(URL)
    second = await endpoints.rotate_secret(added.id, overlap_hours=1)
    await world.advance(hours=2)
    third = await endpoints.rotate_secret(added.id)
    assert [secret for secret, _ in third.secrets] == [third.secret, second.secret]
    for hours in (0, -1, float("inf"), "1"):
        with pytest.raises(ValueError, match="overlap_hours"):
            await endpoints.rotate_secret(added.id, overlap_hours=hours)


async def test_a_damaged_endpoint_is_left_out(world, caplog):
    endpoints = Webhooks(world).endpoints
    added = await endpoints.add(URL)
    for number, text in enumerate([b"{", b"[]", b"{}", b'{"types":1}', b"\xff", b"S", b"S\x10"]):
        await world.backend.run(queue_operations.configure(f"damaged{number}", b"", text))
    assert await endpoints.list() == [added]
    assert "damaged" in caplog.text
    for number in range(7):
        assert await endpoints.remove(f"damaged{number}")


async def test_with_encryption_secrets_and_messages_are_not_in_the_store(world):
    webhooks = Webhooks(world, encryption=ENCRYPTION)
    added = await webhooks.endpoints.add(URL)
    store = EndpointStore(webhooks.endpoints._store_source, ENCRYPTION)
    await store.enqueue(added, [Message("m1", {"data": {"user_id": "alice"}})])
    _, flat = await world.backend.run(queue_operations.endpoints())
    taken = queue_operations.taken(await world.backend.run(queue_operations.take(added.id, limit=1, lease_ms=1)))
    assert added.secret.encode() not in b"".join(flat)
    assert b"alice" not in taken.messages[0][1]
    assert await webhooks.endpoints.list() == [added]
    await world.advance(seconds=1)
    assert (await store.take(added, 1, 1)).messages == [Message("m1", {"data": {"user_id": "alice"}})]


def test_values_from_before_encryption_remain_readable():
    stored = Sealer().seal({"a": 1})
    assert Sealer(ENCRYPTION).open(stored) == {"a": 1}


async def test_a_damaged_message_becomes_a_dead_letter_and_does_not_stop_the_others(world):
    webhooks = Webhooks(world)
    added = await webhooks.endpoints.add(URL, ordered=True)
    store = EndpointStore(webhooks.endpoints._store_source)
    call = queue_operations.enqueue(added.id, [(b"m1", b"{"), (b"m2", b"")], limit=9, ordered=True)
    await world.backend.run(call)
    await store.enqueue(added, [Message("m3", {"a": 1})])
    found = [message for _ in range(3) for message in (await store.take(added, 1, 1000)).messages]
    assert [message.id for message in found] == ["m3"]
    assert await webhooks.endpoints.dead_letters(added.id) == []


async def test_chosen_dead_letters_are_sent_again(world):
    webhooks = Webhooks(world)
    added = await webhooks.endpoints.add(URL)
    store = EndpointStore(webhooks.endpoints._store_source)
    for name in ("m1", "m2", "m3"):
        await store.enqueue(added, [Message(name, {"type": name})])
    batch = await store.take(added, 9, 1000)
    for message in batch.messages:
        await store.failed(added, message, batch.claim, None)
    letters = await webhooks.endpoints.dead_letters(added.id)
    assert [(letter.id, letter.content, letter.given_up_at) for letter in letters] == [
        (name, {"type": name}, world.clock.now_ms()) for name in ("m1", "m2", "m3")
    ]
    assert await webhooks.endpoints.resend(added.id, ["m2", "other"]) == 1
    assert [message.id for message in (await store.take(added, 9, 1000)).messages] == ["m2"]
    assert len(await webhooks.endpoints.dead_letters(added.id)) == 2


def test_custom_providers_have_no_webhooks():
    with pytest.raises(NotSupportedError):
        WebhookEndpoints(lambda: None)
    with pytest.raises(ValueError, match="source"):
        WebhookEndpoints(7)


def test_an_endpoint_without_filters_wants_everything():
    assert Endpoint("ep_1", URL).wants("session.created", "a")
    assert not Endpoint("ep_1", URL, sandboxes=("b",)).wants("endpoint.disabled", None)
