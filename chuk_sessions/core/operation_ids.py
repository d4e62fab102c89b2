"""Operation ids: names for single applications of a change, which a session remembers for a while."""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from typing import Final

ONCE_WINDOW_MS: Final = 600_000
"""How long a session remembers the idempotency keys that callers pass."""

EXTEND_WINDOW_MS: Final = 120_000
"""How long a session remembers the ids of extensions: longer than a call is retried."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def operation_id(given: str | None = None, *, kind: str = "") -> bytes:
    """Return 11 characters that name one application of an operation: random, or derived from an idempotency key.

    Raises ValueError for a key that is not text or is empty.
    """
    if given is None:
        return _operation_id(secrets.token_bytes(8))
    if not isinstance(given, str) or not given:
        raise ValueError("an idempotency key must be a string that is not empty")
    text = f"{kind}/{given}".encode("utf-8", "surrogatepass")
    return _operation_id(hashlib.blake2b(text, digest_size=8).digest())


def _operation_id(bits: bytes) -> bytes:
    return b2a_base64(bits, newline=False).translate(_URL_SAFE)[:11]
