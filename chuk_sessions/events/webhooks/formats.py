"""Formats of messages. The format of an endpoint decides what the relay sends for an event, and how."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from ..session_event import SessionEvent
from .endpoint import DISABLED_TYPE, Endpoint
from .endpoint_store import Message
from .signing import headers


class Request(NamedTuple):
    """An HTTP request to an endpoint: its headers and body."""

    headers: dict[str, str]
    body: bytes


class Format(Protocol):
    """A format of messages.

    Attributes:
        pushes: whether the relay sends the messages. Otherwise the receiver fetches them from the queue.

    """

    pushes: bool

    def message(self, endpoint: Endpoint, event: SessionEvent) -> Message | None:
        """Return the message for an event, or None if the endpoint does not receive it."""

    def request(self, endpoint: Endpoint, message: Message) -> Request:
        """Return the request for one attempt."""


class WebhookFormat:
    """Format of Standard Webhooks: a JSON object with type, timestamp, and data, and signatures in the headers."""

    pushes = True

    def message(self, endpoint: Endpoint, event: SessionEvent) -> Message | None:
        """Return the message for an event, or None if the endpoint does not receive it."""
        if not endpoint.wants(event.type, event.sandbox_id):
            return None
        return Message(event.id, content_of(event.type, event.occurred_at, _data_of(event)))

    def request(self, endpoint: Endpoint, message: Message) -> Request:
        """Return the request for one attempt, signed with the current time."""
        body = json.dumps(message.content, separators=(",", ":")).encode()
        # Receivers compare the timestamp with their own clocks, so it comes from this one and not from the store's.
        now = time.time()
        signed = headers(endpoint.valid_secrets(round(1000 * now)), message.id, int(now), body)
        return Request({"Content-Type": "application/json", **signed}, body)


def content_of(type_: str, occurred_at: int, data: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a webhook. The time is in ms since 1970."""
    timestamp = datetime.fromtimestamp(occurred_at / 1000, UTC).isoformat(timespec="milliseconds")
    return {"type": type_, "timestamp": timestamp.replace("+00:00", "Z"), "data": data}


def disabled_message(endpoint: Endpoint, now: int) -> Message:
    """Return the message that tells other endpoints that this one was disabled at `now`, in ms since 1970."""
    # Path and query of a URL may contain secrets, and other receivers read this.
    parts = urlsplit(endpoint.url)
    origin = f"{parts.scheme}://{parts.netloc}" if endpoint.url else None
    data = {"endpoint_id": endpoint.id, "origin": origin, "reason": endpoint.disabled_because}
    return Message(f"disabled-{endpoint.id}-{now}", content_of(DISABLED_TYPE, now, data))


_FIELDS: Final = (
    "id", "reason", "sandbox_id", "session_hash", "replaced_by", "user_id", "owner_known", "occurred_at", "expires_at",
    "version",
)  # fmt: skip


def _data_of(event: SessionEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _FIELDS}
