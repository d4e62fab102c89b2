"""Ed25519 keys: those of this sandbox, which sign, and the pinned public keys of trusted sandboxes."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

from ..core import ids, key_texts
from ..core.validation import MAX_SANDBOX_LENGTH

KEY_BYTES: Final = 32

PrivateKeySource = bytes | str | Ed25519PrivateKey
"""A private key: 32 bytes, their base64 text, or a key of the package `cryptography`."""

PublicKeySource = bytes | str | Ed25519PublicKey
"""A public key: 32 bytes, their base64 text, or a key of the package `cryptography`."""

KeysSource = Mapping[str, PrivateKeySource] | str
"""Private keys by id, or their text `ID:BASE64,ID:BASE64`. The first one signs."""

TrustSource = Mapping[str, Mapping[str, PublicKeySource]] | str
"""Public keys by issuer and id, or their text `ISSUER=ID:BASE64,ID:BASE64;ISSUER=ID:BASE64`."""

Trust = Mapping[str, Mapping[str, OKPKey]]
"""Public keys by issuer and id, ready for use."""

_PRIME: Final = 2**255 - 19
_WEAK: Final = frozenset(
    [0, 1, _PRIME - 1, *(root := 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7, _PRIME - root)]
)
"""The y coordinates of points of small order. Anyone can sign for such a key."""


def generate_signing_key() -> Ed25519PrivateKey:
    """Return a new private key. Its method `public_key` returns the key that other sandboxes need."""
    return Ed25519PrivateKey.generate()


class SigningKeys:
    """The private keys of a sandbox. All public parts are published, and the first key signs.

    To rotate, append a new key, let all trusting sandboxes pin its public part, move it to the front, and remove the
    old key when the last grant that it has signed is expired.

    Attributes:
        signing: id of the key that signs.
        public: the public keys by id.

    """

    def __init__(self, source: KeysSource) -> None:
        """Take the keys. Raises ValueError for malformed or missing keys; the message contains no key."""
        found = key_texts.pairs(source, "Ed25519 signing") if isinstance(source, str) else source
        if not isinstance(found, Mapping) or not found:
            raise ValueError("signing keys must be a dict that is not empty, or a text ID:BASE64,ID:BASE64")
        self._private = {key_texts.check_id(key_id): private_key(key_id, key) for key_id, key in found.items()}
        self.signing = next(iter(self._private))
        self.public: Mapping[str, OKPKey] = {key_id: _public_part(key) for key_id, key in self._private.items()}

    def __repr__(self) -> str:
        return f"SigningKeys({', '.join(self._private)})"

    @property
    def signing_key(self) -> OKPKey:
        """The key that signs."""
        return self._private[self.signing]

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set."""
        traits = {"use": "sig", "alg": "EdDSA"}
        return {"keys": [{**key.as_dict(private=False), **traits, "kid": kid} for kid, key in self.public.items()]}


def private_key(key_id: str, source: object) -> OKPKey:
    """Return a private key that is ready for use. Raises ValueError for anything else, without showing it."""
    if isinstance(source, Ed25519PrivateKey):
        return OKPKey.import_key(source)
    return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(_bytes(key_id, source, "private")))


def public_key(key_id: str, source: object) -> OKPKey:
    """Return a public key that is ready for use. Raises ValueError for anything else, without showing it."""
    if not isinstance(source, Ed25519PublicKey):
        source = Ed25519PublicKey.from_public_bytes(_bytes(key_id, source, "public"))
    coordinate = int.from_bytes(source.public_bytes_raw(), "little") & (2**255 - 1)
    if coordinate % _PRIME in _WEAK:
        raise ValueError(f"the public key {key_id!r} is no secure key, because anyone can sign for it")
    return OKPKey.import_key(source)


def trust_map(source: TrustSource) -> Trust:
    """Return the pinned keys of a source.

    Raises:
        ValueError: an issuer, id or key is malformed, or an issuer has no key. The message contains no key.

    """
    found = _parsed_trust(source) if isinstance(source, str) else source
    if not isinstance(found, Mapping) or not all(isinstance(keys, Mapping) for keys in found.values()):
        raise ValueError("trust must be a dict of issuers with dicts of public keys, or its text")
    trust = {
        ids.check_name(issuer, "issuer", MAX_SANDBOX_LENGTH): {
            key_texts.check_id(key_id): public_key(key_id, key) for key_id, key in keys.items()
        }
        for issuer, keys in found.items()
    }
    if not all(trust.values()):
        raise ValueError("each trusted issuer needs at least one public key")
    return trust


def keys_text(keys: Mapping[str, Ed25519PrivateKey]) -> str:
    """Return private keys as the text of SESSION_FEDERATION_KEYS. Keep it as secret as a password."""
    return ",".join(f"{key_id}:{b64encode(key.private_bytes_raw()).decode()}" for key_id, key in keys.items())


def public_keys_text(keys: Mapping[str, Ed25519PrivateKey]) -> str:
    """Return the public parts as the text that other sandboxes need in SESSION_FEDERATION_TRUST after `ISSUER=`."""
    return ",".join(
        f"{key_id}:{b64encode(key.public_key().public_bytes_raw()).decode()}" for key_id, key in keys.items()
    )


def keys_from_env() -> str:
    """Return the text in SESSION_FEDERATION_KEYS, which may be empty."""
    return os.environ.get("SESSION_FEDERATION_KEYS", "").strip()


def trust_from_env() -> str:
    """Return the text in SESSION_FEDERATION_TRUST, which may be empty."""
    return os.environ.get("SESSION_FEDERATION_TRUST", "").strip()


def _parsed_trust(text: str) -> dict[str, dict[str, str]]:
    trust: dict[str, dict[str, str]] = {}
    for item in filter(None, map(str.strip, text.replace("\n", ";").split(";"))):
        issuer, equals, keys = item.partition("=")
        if not equals or ":" not in keys:
            raise ValueError("trusted keys must be given as ISSUER=ID:BASE64,ID:BASE64;ISSUER=ID:BASE64")
        if issuer.strip() in trust:
            raise ValueError("a trusted issuer is given twice")
        trust[issuer.strip()] = key_texts.pairs(keys, "issuer's")
    return trust


def _public_part(key: OKPKey) -> OKPKey:
    return OKPKey.import_key(key.public_key)


def _bytes(key_id: str, source: object, kind: str) -> bytes:
    found = key_texts.decoded(source) if isinstance(source, str) else source
    if not isinstance(found, bytes) or len(found) != KEY_BYTES:
        raise ValueError(f"the {kind} key {key_id!r} must be {KEY_BYTES} bytes, their base64 text, or an Ed25519 key")
    return found
