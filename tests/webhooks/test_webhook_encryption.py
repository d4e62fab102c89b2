"""Webhooks of a deployment with encryption: its relays understand what its managers store, and others learn nothing."""

from __future__ import annotations

import base64
import os

import standardwebhooks

from chuk_sessions import SessionManager
from chuk_sessions.core import queue_operations
from chuk_sessions.encryption import Encryption
from chuk_sessions.events import WebhookEndpoints, WebhookRelay
from chuk_sessions.events.security_events import SecurityEventStreams, SigningKeys
from chuk_sessions.providers import redis
from tests.harness.children import running
from tests.harness.receiver import receiving
from tests.harness.webhooks import QUICK
from tests.webhooks.relay_processes import RELAY

KEY = base64.b64encode(os.urandom(32)).decode()
ENCRYPTION = Encryption(keys={"a": KEY}, primary="a")


async def log_in_and_out(manager):
    session_id = await manager.allocate_session(user_id="alice")
    await manager.delete_session(session_id)


async def test_secrets_and_messages_are_encrypted_and_owners_are_decrypted(world):
    manager = world.manager(events=True, encryption=ENCRYPTION)
    async with receiving() as receiver, WebhookEndpoints(world.factory, encryption=ENCRYPTION) as endpoints:
        endpoint = await endpoints.add(receiver.url, allow_private=True, ordered=True)
        stored = repr(await world.backend.run(queue_operations.endpoints()))
        assert endpoint.secret.removeprefix("whsec_") not in stored
        assert receiver.url not in stored
        async with WebhookRelay(world.factory, encryption=ENCRYPTION, **QUICK):
            await log_in_and_out(manager)
            await receiver.wait_for(2)
    for request, body in zip(receiver.requests, receiver.bodies, strict=True):
        standardwebhooks.Webhook(endpoint.secret).verify(request.body, request.headers)
        assert body["data"]["user_id"] == "alice"


async def test_streams_of_security_events_are_encrypted(world):
    manager = world.manager(events=True, encryption=ENCRYPTION)
    streams = SecurityEventStreams(
        world.factory, issuer="https://shop.example", keys=SigningKeys.generate(), encryption=ENCRYPTION
    )
    async with receiving() as receiver, streams:
        await streams.add_push(receiver.url, audience="x", authorization="Bearer of-secrets", allow_private=True)
        assert "of-secrets" not in repr(await world.backend.run(queue_operations.endpoints()))
        async with WebhookRelay(world.factory, encryption=ENCRYPTION, formats=streams.formats, **QUICK):
            await log_in_and_out(manager)
            await receiver.wait_for(1)
    assert receiver.requests[0].headers["authorization"] == "Bearer of-secrets"


async def test_the_command_takes_the_keys_from_the_environment(server):
    factory = redis.factory(server.url)
    async with receiving() as receiver, WebhookEndpoints(factory, encryption=ENCRYPTION) as endpoints:
        await endpoints.add(receiver.url, types=["session.ended"], allow_private=True)
        with running(*RELAY, "--url", server.url, SESSION_ENCRYPTION_KEYS=f"a:{KEY}") as child:
            child.wait_for("the relay is running")
            async with SessionManager("shop", factory, events=True, encryption=ENCRYPTION) as manager:
                await log_in_and_out(manager)
            await receiver.wait_for(1)
    assert receiver.bodies[0]["data"]["user_id"] == "alice"
