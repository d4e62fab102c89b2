"""Tokens against cross-site request forgery, derived from the session's id. Nothing is stored.

A token is a mask followed by HMAC-SHA256(session id, purpose), which the mask hides. Nobody can compute it without the
id, and it reveals nothing about the id. Each page has a new mask, so attacks on the compression of responses (BREACH)
do not find the token.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from ..integrations.masks import hides, masked

_PURPOSE: Final = b"chuk-sessions devices page"


def token(session_id: str) -> str:
    """Return a token of 86 characters for the forms of a page."""
    return masked(_secret(session_id))


def is_valid(session_id: str, sent: str) -> bool:
    """Return whether a client has sent a token of this session."""
    return hides(sent, _secret(session_id))


def _secret(session_id: str) -> bytes:
    return hmac.new(session_id.encode(), _PURPOSE, sha256).digest()
