"""Security Event Tokens for other services: CAEP session-revoked, by push and by poll."""

from __future__ import annotations

from .poll_app import poll_app
from .signing_keys import SigningKeys
from .streams import PollStream, SecurityEventStreams

__all__ = ["PollStream", "SecurityEventStreams", "SigningKeys", "poll_app"]
