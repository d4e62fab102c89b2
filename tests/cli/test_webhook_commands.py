"""webhooks: endpoints, test messages, and dead letters, on the emulator and on a server."""

from __future__ import annotations

import asyncio

import pytest

from chuk_sessions.cli.exits import ExitCode
from chuk_sessions.cli.stores import factory_of
from chuk_sessions.events import WebhookEndpoints
from chuk_sessions.events.webhooks.endpoint_store import Message, after_failure
from tests.harness.receiver import receiving, response

URL = "https://hooks.example.com/T0/secret-path?token=1"


def add(store, url=URL, *words):
    return store.run("webhooks", "add", url, *words).rows[0]


def test_endpoints_are_listed_without_secrets_and_paths(store):
    added = add(store, URL, "--type", "session.ended", "--only-sandbox", "shop", "--ordered")
    assert added["secret"].startswith("whsec_")
    assert added["url"] == URL
    ran = store.run("webhooks", "list")
    (row,) = ran.rows
    assert (row["id"], row["url"], row["enabled"]) == (added["id"], "https://hooks.example.com/...", True)
    assert (row["types"], row["sandboxes"], row["ordered"]) == (["session.ended"], ["shop"], True)
    assert added["secret"] not in ran.out + ran.err
    assert store.run("webhooks", "list", "--urls").rows[0]["url"] == URL


def test_endpoints_are_disabled_enabled_and_removed(store):
    endpoint_id = add(store)["id"]
    assert store.run("webhooks", "disable", endpoint_id).rows[0]["disabled_because"] == "request"
    assert store.run("webhooks", "enable", endpoint_id).rows[0]["enabled"] is True
    assert "dry run" in store.run("webhooks", "remove", endpoint_id).err
    assert len(store.run("webhooks", "list").rows) == 1
    assert store.run("webhooks", "remove", endpoint_id, "--yes").rows == [{"id": endpoint_id, "removed": True}]
    assert store.run("webhooks", "list").rows == []


@pytest.mark.parametrize("words", [("enable", "ep_x"), ("add", "http://10.0.0.1/"), ("add", URL, "--type", "x")])
def test_mistakes_are_usage_errors(store, words):
    assert store.run("webhooks", *words, code=ExitCode.USAGE).err.startswith("error: ")


def test_a_test_message_is_signed_and_its_refusal_is_a_finding(store):
    async def work():
        async with receiving() as receiver:
            endpoint = await asyncio.to_thread(add, store, receiver.url, "--allow-private")
            accepted = await asyncio.to_thread(store.run, "webhooks", "test", endpoint["id"])
            receiver.respond = lambda _: response(500)
            words = ("webhooks", "test", endpoint["id"])
            refused = await asyncio.to_thread(store.run, *words, code=ExitCode.FINDINGS)
            return endpoint, accepted, refused, receiver.requests

    endpoint, accepted, refused, requests = asyncio.run(work())
    assert accepted.rows == [{"id": endpoint["id"], "delivered": True, "error": None}]
    assert refused.rows == [{"id": endpoint["id"], "delivered": False, "error": "status 500"}]
    assert [request.json()["type"] for request in requests] == ["endpoint.test"] * 2
    assert all(request.headers["webhook-signature"].startswith("v1,") for request in requests)


def test_dead_letters_are_listed_and_sent_again(store):
    endpoint_id = add(store)["id"]
    assert store.run("webhooks", "letters", endpoint_id).rows == []

    async def give_up():
        async with WebhookEndpoints(factory_of(store.url)) as endpoints:
            endpoint, inner = await endpoints.get(endpoint_id), endpoints._store
            await inner.enqueue(endpoint, [Message("m1", {"type": "session.ended"})])
            batch = await inner.take(endpoint, 1, 1000)
            await inner.failed(endpoint, after_failure(batch.messages[0], batch.now, "status 500"), batch.claim, None)

    asyncio.run(give_up())
    (row,) = store.run("webhooks", "letters", endpoint_id, code=ExitCode.FINDINGS).rows
    assert (row["message"], row["type"], row["last_error"]) == ("m1", "session.ended", "status 500")
    assert store.run("webhooks", "resend", endpoint_id).rows == [{"id": endpoint_id, "resent": 1}]
    assert store.run("webhooks", "letters", endpoint_id).rows == []
