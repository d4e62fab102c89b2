"""Webhooks: endpoints that the store keeps, and a relay that delivers events to them."""

from __future__ import annotations

from .endpoint import DeadLetter, Endpoint
from .endpoints import WebhookEndpoints

__all__ = ["DeadLetter", "Endpoint", "WebhookEndpoints"]
