"""Grants as tokens: JSON Web Tokens with the type `grid-grant+jwt`, signed with Ed25519."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple

from joserfc.jwk import OKPKey

from ..core import ids
from ..core.validation import MAX_SANDBOX_LENGTH
from . import jwt, paths
from .keys import Trust

TYPE: Final = "grid-grant+jwt"
CLOCK_SKEW_SECONDS: Final = 60
"""How far the clock of an issuer may be ahead. Expiry has no tolerance."""

MAX_CACHED: Final = 1024

is_action = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
"""Returns whether a text is the name of an action."""
is_thumbprint = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch
"""Returns whether a text has the form of a SHA-256 in base64url."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to read or change what is under one path of a session.

    Attributes:
        issuer: the sandbox with the session.
        audience: the sandbox that may use the grant.
        session_hash: the reference of the session.
        path: the path that is covered, relative to the session and without a slash at its end. Empty for all.
        actions: the actions that are allowed, such as `read`.
        jti: the id of the grant.
        issued_at: when the grant was issued, in seconds since the epoch.
        expires_at: when the grant expires, in seconds since the epoch.
        jkt: the thumbprint of the only key that may use the grant (RFC 9449), or None if no key is needed.
        client_id: the sandbox to which an access token was issued in exchange for a grant, or None for a grant.

    """

    issuer: str
    audience: str
    session_hash: str
    path: str
    actions: tuple[str, ...]
    jti: str
    issued_at: int
    expires_at: int
    jkt: str | None = None
    client_id: str | None = None

    def allows(self, path: object, action: object) -> bool:
        """Return whether the grant allows an action on a path, both of which may come from a client."""
        return action in self.actions and paths.covers(self.path, path)


class _Verified(NamedTuple):
    grant: Grant
    key_id: str
    key: OKPKey
    not_before: int


_cache: dict[str, _Verified] = {}
_adding = Lock()


def mint(grant: Grant, signing_key: OKPKey, key_id: str) -> str:
    """Return the token of a grant. Raises ValueError for a grant that `verify` would refuse."""
    if _grant_of(claims := _claims_of(grant)) != grant:
        raise ValueError("the grant has a malformed issuer, audience, session, path, action, id, time, or thumbprint")
    return jwt.encode(claims, TYPE, signing_key, key_id)


def verify(token: object, *, audience: str, trust: Trust, now: float | None = None) -> Grant | None:
    """Return the grant in a token, or None for a token that is forged, malformed, expired, or for another audience.

    A token that was verified before is not verified again, but its expiry is checked, and that its key is trusted.

    Args:
        token: the token, which may be any value.
        audience: the sandbox that wants to use the grant.
        trust: the pinned keys of issuers.
        now: seconds since the epoch; by default this host's clock.

    """
    found = _known(token, trust)
    if found is None:
        return None
    now = time.time() if now is None else now
    grant = found.grant
    is_valid = grant.audience == audience and found.not_before - CLOCK_SKEW_SECONDS <= now < grant.expires_at
    return grant if is_valid else None


def signed_grant(token: object, *, audience: str, trust: Trust) -> Grant | None:
    """Return the grant in a token as `verify` does, but without comparing its times, for a caller that asks the store.

    The store decides by its own clock, so hosts with wrong clocks agree. It knows no claim `nbf`, which no grant of
    this library has. One that is later than `iat` is compared with this host's clock.
    """
    found = _known(token, trust)
    if found is None or found.grant.audience != audience:
        return None
    has_begun = found.not_before == found.grant.issued_at or found.not_before - CLOCK_SKEW_SECONDS <= time.time()
    return found.grant if has_begun else None


def _known(token: object, trust: Trust) -> _Verified | None:
    """Return a verified token, whose signature may have been checked before with a key that is still trusted."""
    found = _cache.get(token) if isinstance(token, str) else None
    if found is None or trust.get(found.grant.issuer, {}).get(found.key_id) is not found.key:
        return _verified(token, trust)
    return found


def _verified(token: object, trust: Trust) -> _Verified | None:
    unverified = jwt.decode(token, TYPE)
    key = None if unverified is None else unverified.pinned_key(trust)
    if unverified is None or key is None or not unverified.is_signed_with(key):
        return None
    grant, not_before = _grant_of(unverified.claims), unverified.claims.get("nbf", 0)
    if grant is None or not jwt.is_time(not_before):
        return None
    found = _Verified(grant, unverified.header["kid"], key, max(grant.issued_at, not_before))
    with _adding:
        # Only tokens of trusted issuers get here, so strangers cannot displace them.
        if len(_cache) >= MAX_CACHED:
            del _cache[next(iter(_cache))]
        _cache[str(token)] = found
    return found


def _claims_of(grant: Grant) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": grant.issuer,
        "aud": grant.audience,
        "sub": grant.session_hash,
        "path": grant.path,
        "scope": " ".join(grant.actions),
        "jti": grant.jti,
        "iat": grant.issued_at,
        "exp": grant.expires_at,
    }
    if grant.jkt is not None:
        claims["cnf"] = {"jkt": grant.jkt}
    if grant.client_id is not None:
        claims["client_id"] = grant.client_id
    return claims


def _grant_of(claims: dict[str, Any]) -> Grant | None:
    """Return the grant in claims, or None if one is missing or malformed."""
    get = claims.get
    scope, cnf, client_id = get("scope"), get("cnf"), get("client_id")
    jkt = cnf.get("jkt") if isinstance(cnf, dict) and len(cnf) == 1 else None
    if (
        not ids.is_name(get("iss"), MAX_SANDBOX_LENGTH) or not ids.is_name(get("aud"), MAX_SANDBOX_LENGTH)
        or ids.parse_reference(get("sub")) is None or not paths.is_path(get("path"))
        or not isinstance(scope, str) or not all(map(is_action, actions := tuple(scope.split(" "))))
        or not jwt.matches(jwt.is_jti, get("jti")) or not jwt.is_time(get("iat")) or not jwt.is_time(get("exp"))
        or ("cnf" in claims and not jwt.matches(is_thumbprint, jkt))
        or ("client_id" in claims and not ids.is_name(client_id, MAX_SANDBOX_LENGTH))
    ):  # fmt: skip
        return None
    return Grant(
        claims["iss"], claims["aud"], claims["sub"], claims["path"], actions, claims["jti"], claims["iat"],
        claims["exp"], jkt, client_id,
    )  # fmt: skip
