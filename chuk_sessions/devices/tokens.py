"""Tokens against cross-site request forgery, derived from the session's id. Nothing is stored.

A token is a mask followed by HMAC-SHA256(session id, purpose), which the mask hides. Nobody can compute it without the
id, and it reveals nothing about the id. Each page has a new mask, so attacks on the compression of responses (BREACH)
do not find the token.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

_BYTES: Final = 32
_CHARACTERS: Final = 86
_PURPOSE: Final = b"chuk-sessions devices page"


def token(session_id: str) -> str:
    """Return a token of 86 characters for the forms of a page."""
    mask = secrets.token_bytes(_BYTES)
    return urlsafe_b64encode(mask + _xor(mask, _secret(session_id))).decode().rstrip("=")


def is_valid(session_id: str, sent: str) -> bool:
    """Return whether a client has sent a token of this session."""
    if len(sent) != _CHARACTERS or not sent.isascii():
        return False
    try:
        raw = urlsafe_b64decode(f"{sent}==")
    except ValueError:
        return False
    return len(raw) == 2 * _BYTES and hmac.compare_digest(_xor(raw[:_BYTES], raw[_BYTES:]), _secret(session_id))


def _secret(session_id: str) -> bytes:
    return hmac.new(session_id.encode(), _PURPOSE, sha256).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
