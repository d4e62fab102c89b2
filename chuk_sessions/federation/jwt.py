"""Signed JSON Web Tokens with an explicit type. Unlike JWT libraries, this module accepts no further header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from re import compile as pattern
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry, extract_compact, validate_compact
from joserfc.util import urlsafe_b64decode

from .keys import Trust

ALGORITHM: Final = "EdDSA"
MAX_TOKEN_LENGTH: Final = 4096
_LATEST: Final = 253_402_300_800  # the end of the year 9999

_IS_TOKEN = pattern(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}").fullmatch
"""Matches three parts, the last one with the 64 bytes of a signature with Ed25519 or P-256."""

is_jti = pattern(r"[A-Za-z0-9._~-]{1,128}").fullmatch
"""Matches the id of a token."""


class _Only(JWSRegistry):
    """A single algorithm, without the warning that RFC 9864 has a new name for EdDSA."""

    def get_alg(self, name: str) -> Any:
        (only,) = self.allowed or ()
        return self.algorithms[only] if name == only else super().get_alg("-")


_REGISTRIES: Final = {name: _Only(algorithms=[name]) for name in (ALGORITHM, "ES256")}


def registry(algorithm: str) -> JWSRegistry:
    """Return the registry of joserfc for one algorithm."""
    return _REGISTRIES[algorithm]


class Unverified:
    """A token whose form is correct and whose signature was not checked yet.

    Attributes:
        header: its header.
        claims: its claims, which nobody has vouched for.

    """

    def __init__(self, token: str, header: Mapping[str, Any], claims: dict[str, Any]) -> None:
        self._token = token
        self.header = header
        self.claims = claims

    def pinned_key(self, trust: Trust) -> OKPKey | None:
        """Return the key that the issuer in the token must have used, or None for one that is not trusted."""
        issuer = self.claims.get("iss")
        return trust.get(issuer, {}).get(self.header["kid"]) if isinstance(issuer, str) else None

    def is_signed_with(self, key: OKPKey | ECKey, algorithm: str = ALGORITHM) -> bool:
        """Return whether the signature is correct."""
        try:
            if algorithm == ALGORITHM:
                # The general path below parses the token again, which takes a fifth of the time.
                signed, _, signature = self._token.rpartition(".")
                public: Any = key.get_op_key("verify")
                public.verify(urlsafe_b64decode(signature.encode()), signed.encode())
                return True
            return validate_compact(extract_compact(self._token.encode()), key, registry=_REGISTRIES[algorithm])
        except (JoseError, InvalidSignature, ValueError, TypeError, AttributeError, RecursionError):
            return False


def encode(claims: Mapping[str, Any], token_type: str, key: OKPKey, key_id: str) -> str:
    """Return a signed token."""
    header = {"alg": ALGORITHM, "typ": token_type, "kid": key_id}
    return jwt.encode(header, dict(claims), key, registry=_REGISTRIES[ALGORITHM])


def decode(token: object, token_type: str) -> Unverified | None:
    """Return a token of the given type whose header names a key, or None for anything else."""
    found = parse(token)
    key_id = None if found is None else found.header.get("kid")
    if found is None or not isinstance(key_id, str):
        return None
    return found if found.header == {"alg": ALGORITHM, "typ": token_type, "kid": key_id} else None


def parse(token: object) -> Unverified | None:
    """Return a token with any header, or None for any value that is no token. No name may occur twice in it."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH or not _IS_TOKEN(token):
        return None
    header, claims, _ = token.split(".")
    try:
        return Unverified(token, _header(header), _object(claims))
    except (ValueError, RecursionError):
        return None


def is_time(value: object) -> bool:
    """Return whether a claim is a whole number of seconds since the epoch."""
    return type(value) is int and 0 <= value <= _LATEST


def matches(form: Any, value: object) -> bool:
    """Return whether a claim is a text of this form."""
    return isinstance(value, str) and form(value) is not None


# An issuer's tokens have the same header until it changes its key.
@lru_cache(maxsize=64)
def _header(part: str) -> Mapping[str, Any]:
    return MappingProxyType(_object(part))


def _object(part: str) -> dict[str, Any]:
    found = json.loads(urlsafe_b64decode(part.encode()), object_pairs_hook=_without_repeats)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found
