"""A test message, which shows whether an endpoint accepts messages and knows its secret."""

from __future__ import annotations

import secrets
import time

from .addresses import may_be_private
from .endpoint import WEBHOOK, Endpoint
from .endpoint_store import Message
from .formats import WebhookFormat, content_of
from .sender import TIMEOUT_SECONDS, Outcome, Sender

TEST_TYPE = "endpoint.test"
"""The type of test messages. Receivers should accept types that they do not know."""


async def send_test(
    endpoint: Endpoint, *, allow_hosts: frozenset[str] = frozenset(), timeout_seconds: float = TIMEOUT_SECONDS
) -> Outcome:
    """Send a signed test message to an endpoint once, without a retry, and return the outcome.

    The message bypasses the queue, so it also arrives at an endpoint that is disabled.

    Raises:
        ValueError: the endpoint is a stream of security events, whose receiver would not know the type.

    """
    if endpoint.format != WEBHOOK:
        raise ValueError(f"{endpoint.id} is a stream of security events, which has no test message")
    now_ms = round(1000 * time.time())
    message = Message(f"test-{secrets.token_hex(8)}", content_of(TEST_TYPE, now_ms, {"endpoint_id": endpoint.id}))
    request = WebhookFormat().request(endpoint, message)
    sender = Sender(timeout_seconds=timeout_seconds)
    try:
        private = may_be_private(endpoint.url, endpoint.allow_private, allow_hosts)
        return await sender.post(endpoint.url, request.headers, request.body, allow_private=private)
    finally:
        await sender.aclose()
