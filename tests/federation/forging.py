"""Tokens made by hand and with PyJWT, for tests of what must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chuk_sessions import session_hash

ISSUER, AUDIENCE = "sandbox-a", "sandbox-b"
TYPE = "grid-grant+jwt"
KEY = Ed25519PrivateKey.generate()
REFERENCE = session_hash("sess-1")


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a correct grant with changes. None removes a claim."""
    now = int(time.time())
    correct = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": REFERENCE, "path": "doc1", "scope": "read",
        "jti": f"{REFERENCE}{'A' * 16}",        "iat": now, "exp": now + 300,
    }  # fmt: skip
    return {name: value for name, value in {**correct, **changes}.items() if value is not None}


def signed(payload: dict[str, Any] | None = None, key: Any = KEY, algorithm: str = "EdDSA", **header: Any) -> str:
    """Return a token signed by PyJWT, with further or other headers."""
    return jwt.encode(claims() if payload is None else payload, key, algorithm, {"typ": TYPE, "kid": "k1", **header})


def encoded(value: Any) -> str:
    """Return base64url of bytes, or of the JSON text of anything else."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header: Any, payload: Any, key: Ed25519PrivateKey = KEY) -> str:
    """Return a token with any header and payload, correctly signed."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(key.sign(text.encode()))}"


def hs256(secret: bytes, **header: Any) -> str:
    """Return a token with a MAC, which PyJWT refuses to make with a public key."""
    text = f"{encoded({'alg': 'HS256', 'typ': TYPE, 'kid': 'k1', **header})}.{encoded(claims())}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"
