"""Security Event Tokens for other services: CAEP session-revoked, by push and by poll."""

from __future__ import annotations

try:
    from .poll_app import poll_app
    from .signing_keys import SigningKeys
    from .streams import PollStream, SecurityEventStreams
except ImportError as missing:
    raise ImportError(
        "security events need more packages: pip install 'chuk-sessions[redis,security-events]'"
    ) from missing

__all__ = ["PollStream", "SecurityEventStreams", "SigningKeys", "poll_app"]
