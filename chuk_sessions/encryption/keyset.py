"""Keysets: master keys with ids, one of them primary, and the index key."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..core import key_texts

KEY_BYTES: Final = 32
INDEX: Final = "index"
"""The id of the key that hashes owners. It never encrypts and is never rotated."""

_INDEX_INFO: Final = b"chuk-sessions index"
_HASH_BYTES: Final = 3
_BLOCK_BYTES: Final = 64
_INNER, _OUTER = [bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C)]
_sha256 = hashlib.sha256
_RESERVED: Final = ("none", "plain")
"""What SESSION_ENCRYPTION_PRIMARY may be instead of an id, and what `list` calls records without a key."""

KeySource = bytes | str | Callable[[], bytes | str]
"""A key: 32 bytes, their base64 text, or a function that returns either, such as one that asks a KMS to unwrap it."""

KeysSource = Mapping[str, KeySource] | str | Path | Callable[[], Mapping[str, KeySource] | str]
"""Keys by id; or their text `ID:BASE64,ID:BASE64`; or a file with this text; or a function that returns one of them."""


def generate_key() -> bytes:
    """Return a new random key of 32 bytes."""
    return secrets.token_bytes(KEY_BYTES)


def derive(master: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes from HKDF-SHA256 (RFC 5869)."""
    # One block is the whole output, so the loop of the RFC has one round.
    return _hmac(_hmac(salt, master), info + b"\x01")


def _hmac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104) for a key of at most 64 bytes, in half of the time that `hmac.digest` takes."""
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return _sha256(block.translate(_OUTER) + _sha256(block.translate(_INNER) + message).digest()).digest()


def key_hash(key_id: str) -> bytes:
    """Return the three bytes that stand for a key in the header of a value."""
    return hashlib.sha256(key_id.encode()).digest()[:_HASH_BYTES]


@dataclass(frozen=True, slots=True)
class Keyset:
    """Keys that are ready for use.

    Attributes:
        masters: the keys by the hash of their id.
        ids: the ids by their hash.
        index: the key that hashes owners.
        uses: how often the key of a session was derived from each key, by the hash of its id.

    """

    masters: Mapping[bytes, bytes] = field(repr=False)
    ids: Mapping[bytes, str]
    index: bytes = field(repr=False)
    uses: Counter[bytes] = field(default_factory=Counter, repr=False, compare=False)


def load(source: KeysSource) -> Keyset:
    """Return the keyset of a source, whose functions are called once, now.

    Without a key `index`, the index key is derived from the only key.

    Raises:
        ValueError: a key or id is malformed, two ids have the same hash, or several keys have no key `index`.

    """
    keys = {check_id(key_id): _key(key_id, key) for key_id, key in _mapping(source).items()}
    index = keys.pop(INDEX, None)
    if not keys:
        raise ValueError("encryption needs at least one key besides the key of the index")
    if index is None:
        index = index_key(keys)
    ids = {key_hash(key_id): key_id for key_id in keys}
    if len(ids) < len(keys):
        raise ValueError("two key ids have the same hash; rename one of them")
    return Keyset({key_hash(key_id): key for key_id, key in keys.items()}, ids, index)


def index_key(keys: Mapping[str, bytes]) -> bytes:
    """Return the index key that belongs to a keyset without one. Raises ValueError for more than one key."""
    if len(keys) > 1:
        raise ValueError(
            f"several keys need one with the id {INDEX!r}, which hashes owners and is never rotated; "
            "`python -m chuk_sessions.encryption rotate` prints it"
        )
    (only,) = keys.values()
    return derive(only, b"", _INDEX_INFO)


def parse(text: str) -> dict[str, KeySource]:
    """Return the keys in a text `ID:BASE64,ID:BASE64`. Line breaks may separate them, too. Lines that begin with `#`
    are comments.

    Raises:
        ValueError: the text is malformed. The message contains no key.

    """
    return dict(key_texts.pairs(text, "encryption"))


def text_of(keys: Mapping[str, bytes]) -> str:
    """Return keys as the text that `parse` reads."""
    return ",".join(f"{key_id}:{b64encode(key).decode()}" for key_id, key in keys.items())


def _mapping(source: KeysSource) -> Mapping[str, KeySource]:
    found = source() if callable(source) else source
    if isinstance(found, Path):
        found = found.read_text(encoding="utf-8")
    found = parse(found) if isinstance(found, str) else found
    if not isinstance(found, Mapping):
        raise ValueError("encryption keys must be a dict, a text, a Path, or a function that returns a dict or text")
    return found


def check_id(key_id: object) -> str:
    """Return the id of a key. Raises ValueError for a malformed id, without showing it, because it may be a key."""
    found = key_texts.check_id(key_id)
    if found in _RESERVED:
        raise ValueError(f"a key cannot have the id {found!r}, which has another meaning")
    return found


def _key(key_id: str, source: KeySource) -> bytes:
    key = source() if callable(source) else source
    if isinstance(key, str):
        key = key_texts.decoded(key)
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ValueError(f"the key {key_id!r} must be {KEY_BYTES} bytes, or their base64 text")
    return key


def rotation(text: str, new_id: str) -> list[tuple[str, str]]:
    """Return the texts of the keysets for a rotation to a new key, each with a comment, in the order to deploy them.

    Raises ValueError for a malformed text or id.
    """
    keys = {check_id(key_id): _key(key_id, source) for key_id, source in parse(text).items()}
    if new_id in (*keys, INDEX):
        raise ValueError(f"there is a key with the id {new_id!r} already")
    check_id(new_id)
    index = keys.pop(INDEX, None) or index_key(keys)
    new, last = {new_id: generate_key()}, {INDEX: index}
    return [
        ("1. Distribute the new key to all processes. The old one stays primary.", text_of({**keys, **new, **last})),
        ("2. Promote the new key. Then run `reencrypt`.", text_of({**new, **keys, **last})),
        ("3. Retire the old keys once `list` counts no record under them.", text_of({**new, **last})),
    ]
