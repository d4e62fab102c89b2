"""Signed JSON Web Tokens of one kind: EdDSA, with an explicit type and exactly the headers `alg`, `typ` and `kid`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from re import compile as pattern
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.util import urlsafe_b64decode

from .keys import Trust

ALGORITHM: Final = "EdDSA"
MAX_TOKEN_LENGTH: Final = 4096

_IS_TOKEN = pattern(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}").fullmatch
"""Matches three parts, the last one with the 64 bytes of a signature."""


class _OnlyEdDSA(JWSRegistry):
    """The algorithm EdDSA, without a warning that RFC 9864 has another name for it, and no other algorithm."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[ALGORITHM] if name == ALGORITHM else super().get_alg("-")


_REGISTRY: Final = _OnlyEdDSA(algorithms=[ALGORITHM])


def encode(claims: Mapping[str, Any], token_type: str, key: OKPKey, key_id: str) -> str:
    """Return a signed token."""
    header = {"alg": ALGORITHM, "typ": token_type, "kid": key_id}
    return jwt.encode(header, dict(claims), key, registry=_REGISTRY)


class Unverified:
    """A token whose form is correct and whose signature was not checked yet.

    Attributes:
        key_id: the `kid` of its header.
        claims: its claims, which nobody has vouched for.

    """

    def __init__(self, signed: CompactSignature, key_id: str, claims: dict[str, Any]) -> None:
        self._signed = signed
        self.key_id = key_id
        self.claims = claims

    def pinned_key(self, trust: Trust) -> OKPKey | None:
        """Return the key that the issuer in the token must have used, or None for one that is not trusted."""
        issuer = self.claims.get("iss")
        return trust.get(issuer, {}).get(self.key_id) if isinstance(issuer, str) else None

    def is_signed_with(self, key: OKPKey) -> bool:
        """Return whether the signature is correct."""
        try:
            return validate_compact(self._signed, key, registry=_REGISTRY)
        except (JoseError, ValueError, TypeError):
            return False


def decode(token: object, token_type: str) -> Unverified | None:
    """Return a token of the given type, or None for anything else. A name that is given twice makes a token invalid."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH or not _IS_TOKEN(token):
        return None
    try:
        header = _object(token.partition(".")[0])
        key_id = header.get("kid")
        if not isinstance(key_id, str) or header != {"alg": ALGORITHM, "typ": token_type, "kid": key_id}:
            return None
        return Unverified(extract_compact(token.encode(), registry=_REGISTRY), key_id, _object(token.split(".")[1]))
    except (JoseError, ValueError, TypeError, RecursionError):
        return None


def _object(part: str) -> dict[str, Any]:
    found = json.loads(urlsafe_b64decode(part.encode()), object_pairs_hook=_without_repeats)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found
