"""Proofs of possession (RFC 9449, DPoP): a stolen grant is worthless without the key of its holder."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt as library
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from . import jwt
from .replays import Replays

TYPE: Final = "dpop+jwt"
WINDOW_SECONDS: Final = 60
"""How far the time in a proof may be from now, in either direction."""

_CURVES: Final[dict[str, tuple[type[OKPKey] | type[ECKey], dict[str, str]]]] = {
    "EdDSA": (OKPKey, {"kty": "OKP", "crv": "Ed25519"}),
    "ES256": (ECKey, {"kty": "EC", "crv": "P-256"}),
}
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof with the request that it belongs to.

    Attributes:
        text: the value of the header `DPoP`.
        method: the method of the request.
        url: the URL of the request, as the client sees it.

    """

    text: str
    method: str
    url: str


class ProofKey:
    """The key of a holder, with which it proves that a grant is its own.

    Attributes:
        thumbprint: the thumbprint of the public key, for `grant_session(..., jkt=...)`.

    """

    def __init__(self, key: Ed25519PrivateKey | None = None) -> None:
        """Take a key, or generate one."""
        self._key = OKPKey.import_key(key or Ed25519PrivateKey.generate())
        public = self._key.as_dict(private=False)
        self._public = {name: public[name] for name in ("kty", "crv", "x")}
        self.thumbprint = self._key.thumbprint()

    def __repr__(self) -> str:
        return f"ProofKey({self.thumbprint})"

    def prove(self, method: str, url: str, token: str | None = None) -> str:
        """Return the header `DPoP` for one request that presents `token`. A token exchange presents none."""
        header = {"alg": jwt.ALGORITHM, "typ": TYPE, "jwk": self._public}
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(16),
        }
        if token is not None:
            claims["ath"] = token_hash(token)
        return library.encode(header, claims, self._key, registry=jwt.registry(jwt.ALGORITHM))


def token_hash(token: str) -> str:
    """Return the hash of a token that a proof contains."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


async def prover(
    proof: Proof, token: str | None, replays: Replays, *, thumbprint: str | None = None, now: float | None = None
) -> str | None:
    """Return the thumbprint of the key that has signed a proof for this token and request.

    None means that the proof is forged, malformed, too old, for another request, or was used before; or, with a
    `thumbprint`, by another key. The ids of such proofs are not remembered, because anyone can make them.
    """
    found = jwt.parse(proof.text)
    key = None if found is None else _key_of(found.header)
    if found is None or key is None or not found.is_signed_with(key, found.header["alg"]):
        return None
    get, now = found.claims.get, time.time() if now is None else now
    issued_at: Any = get("iat")
    presented = None if token is None else token_hash(token)
    if (
        get("htm") != proof.method or not _is_same_url(get("htu"), proof.url) or get("ath") != presented
        or not jwt.matches(jwt.is_jti, get("jti")) or not jwt.is_time(issued_at)
        or abs(now - issued_at) > WINDOW_SECONDS
    ):  # fmt: skip
        return None
    name = key.thumbprint()
    if thumbprint not in (None, name):
        return None
    return name if await replays.is_first(f"dpop {name} {get('jti')}", 2 * WINDOW_SECONDS + 1) else None


def _key_of(header: Mapping[str, Any]) -> OKPKey | ECKey | None:
    """Return the public key in the header of a proof, or None for a header that is not exactly as documented."""
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in _CURVES or not isinstance(jwk, dict):
        return None
    kind, traits = _CURVES[algorithm]
    coordinates = {name: jwk.get(name) for name in (("x", "y") if kind is ECKey else ("x",))}
    if header != {"alg": algorithm, "typ": TYPE, "jwk": {**traits, **coordinates}}:
        return None
    try:
        return kind.import_key({**jwk})
    except (JoseError, ValueError, TypeError, AttributeError):
        return None


def _is_same_url(given: object, expected: str) -> bool:
    return isinstance(given, str) and (wanted := _normal(expected)) is not None and _normal(given) == wanted


def _normal(url: str) -> tuple[str, str, int | None, str] | None:
    """Return what identifies the target of a request: all but query and fragment."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if "@" in parts.netloc or not parts.hostname:
            return None
        return scheme, parts.hostname, parts.port or _PORTS.get(scheme), parts.path or "/"
    except ValueError:
        return None
