"""Tokens that hide a secret of 32 bytes under a new mask each time.

Attacks on the compression of responses (BREACH) do not find what looks different in each response.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

SECRET_BYTES: Final = 32
_TOKEN_CHARACTERS: Final = 86


def masked(secret: bytes) -> str:
    """Return a token for a secret of 32 bytes: 86 characters, safe in URLs."""
    mask = secrets.token_bytes(SECRET_BYTES)
    return urlsafe_b64encode(mask + _xor(mask, secret)).decode().rstrip("=")


def hides(sent: object, secret: bytes) -> bool:
    """Return whether a value that a client has sent is a token for the secret. Any value is allowed."""
    if not isinstance(sent, str) or len(sent) != _TOKEN_CHARACTERS:
        return False
    try:
        raw = urlsafe_b64decode(f"{sent}==")
    except ValueError:
        return False
    return len(raw) == 2 * SECRET_BYTES and hmac.compare_digest(_xor(raw[:SECRET_BYTES], raw[SECRET_BYTES:]), secret)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
