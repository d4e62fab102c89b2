"""Client authentication between sandboxes: assertions that are signed with the pinned key (RFC 7523).

Requests with an assertion need no shared secret, and an assertion for one issuer is useless at another one.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final, NamedTuple

from ..core import ids
from ..core.validation import MAX_SANDBOX_LENGTH
from . import jwt
from .keys import SigningKeys, Trust

TYPE: Final = "client-authentication+jwt"
METHOD: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_SECONDS: Final = 60
MOST_SECONDS: Final = 300
"""The longest lifetime of an assertion that is accepted, so that its id need not be remembered for longer."""

CLOCK_SKEW_SECONDS: Final = 60


class Client(NamedTuple):
    """A sandbox that has authenticated itself.

    Attributes:
        sandbox_id: the sandbox.
        assertion_id: the id of its assertion, unique for the sandbox.
        expires_at: when the assertion expires, in seconds since the epoch.

    """

    sandbox_id: str
    assertion_id: str
    expires_at: int


def assertion(sandbox_id: str, issuer: str, keys: SigningKeys) -> str:
    """Return an assertion for one request to an issuer."""
    now = int(time.time())
    claims = {
        "iss": sandbox_id,
        "sub": sandbox_id,
        "aud": issuer,
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    return jwt.encode(claims, TYPE, keys.signing_key, keys.signing)


def authenticate(text: object, *, issuer: str, trust: Trust, now: float) -> Client | None:
    """Return the sandbox that has signed an assertion for `issuer`, or None for anything else.

    The caller must refuse an assertion whose id it has seen before.
    """
    found = jwt.decode(text, TYPE)
    key = None if found is None else found.pinned_key(trust)
    if found is None or key is None or not found.is_signed_with(key):
        return None
    get = found.claims.get
    sandbox_id: Any = get("iss")
    jti: Any = get("jti")
    issued_at: Any = get("iat")
    expires_at: Any = get("exp")
    not_before: Any = get("nbf", 0)
    if (
        not ids.is_name(sandbox_id, MAX_SANDBOX_LENGTH) or get("sub") != sandbox_id or get("aud") != issuer
        or not jwt.matches(jwt.is_jti, jti) or not jwt.is_time(issued_at) or not jwt.is_time(expires_at)
        or not jwt.is_time(not_before)
    ):  # fmt: skip
        return None
    begin = max(issued_at, not_before) - CLOCK_SKEW_SECONDS
    is_valid = begin <= now < expires_at <= now + MOST_SECONDS
    return Client(sandbox_id, jti, expires_at) if is_valid else None
