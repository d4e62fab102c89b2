"""Durable events of sessions: readers, in asynchronous and in synchronous code, and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.ids import session_hash
from .blocking import SyncSessionEvents
from .progress import EventReaders, ReaderProgress
from .readers import SessionEvents
from .session_event import SessionEvent
from .survey import Survey
from .webhooks import DeadLetter, Endpoint, WebhookEndpoints

if TYPE_CHECKING:
    from .webhooks.relay import WebhookRelay

__all__ = [
    "DeadLetter",
    "Endpoint",
    "EventReaders",
    "ReaderProgress",
    "SessionEvent",
    "SessionEvents",
    "Survey",
    "SyncSessionEvents",
    "WebhookEndpoints",
    "WebhookRelay",
    "session_hash",
]


def __getattr__(name: str) -> Any:
    """Import the relay when it is used. It needs aiohttp, which readers do not need."""
    if name == "WebhookRelay":
        try:
            from .webhooks.relay import WebhookRelay  # noqa: PLC0415
        except ImportError as error:
            raise ImportError("webhooks need more packages: pip install 'chuk-sessions[redis,webhooks]'") from error
        return WebhookRelay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
