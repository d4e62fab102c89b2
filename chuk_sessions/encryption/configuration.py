"""Encryption: the configuration of a manager, in code or from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..core import codec
from ..core.figures import REPORTERS, Figure
from .keyset import INDEX, KeysSource, check_id, key_hash, load, parse
from .values import EncryptedValues


class Encryption:
    """The encryption of metadata and owners at rest, for `SessionManager(encryption=...)`.

    Values are encrypted with AES-256-GCM, under a key for each session that HKDF-SHA256 derives from the primary key.
    One object may serve any number of managers and threads. Its repr contains no key.

    Attributes:
        key_ids: the ids of the keys, in the order given.
        primary: the id of the key that encrypts; None if the object only decrypts.
        require: whether records that are not encrypted are refused.

    """

    def __init__(
        self,
        keys: KeysSource,
        *,
        primary: str | None,
        plain_keys: Iterable[str] = (),
        require: bool = False,
    ) -> None:
        """Load the keys.

        Args:
            keys: keys by id. A key is 32 bytes, their base64 text, or a function that returns either. `keys` may also
                be a text `ID:BASE64,ID:BASE64`, the `pathlib.Path` of a file with this text, or a function that
                returns a dict or text. Functions are called once, now. A key with the id `index` hashes owners for
                comparisons, never encrypts, and is never rotated. A single key needs none.
            primary: id of the key that encrypts. With None, values are written as plain text, and encrypted ones can be
                read, for the rollout.
            plain_keys: metadata keys whose values stay plain text: counters, and lists that grow.
            require: raise KeyUnavailableError for records with plain text that should be encrypted.

        Raises:
            ValueError: an argument is malformed. The message contains no key.

        """
        self._keyset = load(keys)
        self.key_ids = tuple(self._keyset.ids.values())
        if primary is not None and check_id(primary) not in self.key_ids:
            raise ValueError(f"the primary key {primary!r} is not one of the keys: {', '.join(self.key_ids)}")
        if require and primary is None:
            raise ValueError("require=True needs a primary key")
        if isinstance(plain_keys, str):
            raise ValueError("plain_keys must be a list of keys, not a single string")
        self.primary = primary
        self.require = require
        self._plain = frozenset(map(codec.field_of, plain_keys))
        self.backend = None  # Figures are about the whole process.
        REPORTERS.add(self)

    def __repr__(self) -> str:
        return f"Encryption({', '.join(self.key_ids)}; primary={self.primary}, require={self.require})"

    def codec(self, sandbox_id: str, /) -> EncryptedValues:
        """Return the codec for a sandbox."""
        primary = None if self.primary is None else key_hash(self.primary)
        values = EncryptedValues(self._keyset, primary, self._plain, self.require, sandbox_id)
        values.source = self
        return values

    def figures(self) -> list[Figure]:
        """Return the figures of the keys for telemetry, see `core.figures`."""
        roles = [
            (key, key_id, "primary" if key_id == self.primary else "old") for key, key_id in self._keyset.ids.items()
        ]
        return [
            *[Figure("encryption_keys", 1, (key_id, role)) for _, key_id, role in roles],
            *[Figure("encryption_key_uses", self._keyset.uses[key], (key_id,)) for key, key_id, _ in roles],
        ]

    def name_of(self, key: bytes) -> str:
        """Return the id of the key with this hash, or a text with the hash of one that is not available."""
        return self._keyset.ids.get(key, f"unavailable:{key.hex()}")


def from_env() -> Encryption:
    """Return the encryption that the environment describes.

    SESSION_ENCRYPTION_KEYS is `ID:BASE64,ID:BASE64`, or SESSION_ENCRYPTION_KEYS_FILE names a file with such text. The
    first key is primary, unless SESSION_ENCRYPTION_PRIMARY is the id of another one or `none`.
    SESSION_ENCRYPTION_PLAIN_KEYS has metadata keys separated by commas, and SESSION_ENCRYPTION_REQUIRE is `1` or `0`.

    Raises:
        ValueError: a setting is malformed or missing.
        OSError: the file cannot be read.

    """
    env = os.environ.get
    return _configured(
        keys_text_from_env(),
        env("SESSION_ENCRYPTION_PRIMARY") or None,
        tuple(key.strip() for key in (env("SESSION_ENCRYPTION_PLAIN_KEYS") or "").split(",") if key.strip()),
        _switch(env("SESSION_ENCRYPTION_REQUIRE") or "0"),
    )


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"SESSION_ENCRYPTION_REQUIRE must be 0 or 1, not {text[:20]!r}")
    return text == "1"


def keys_text_from_env() -> str:
    """Return the text of the keys that the environment names. Raises ValueError if it names none, or two."""
    text, path = os.environ.get("SESSION_ENCRYPTION_KEYS"), os.environ.get("SESSION_ENCRYPTION_KEYS_FILE")
    if bool(text) == bool(path):
        raise ValueError("set either SESSION_ENCRYPTION_KEYS or SESSION_ENCRYPTION_KEYS_FILE")
    return text or Path(path or "").read_text(encoding="utf-8")


# Managers of one process share an object, and with it nothing is parsed again.
@lru_cache(maxsize=8)
def _configured(text: str, primary: str | None, plain_keys: tuple[str, ...], require: bool) -> Encryption:
    keys = parse(text)
    first = next((key_id for key_id in keys if key_id != INDEX), None)
    chosen = None if primary == "none" else primary or first
    return Encryption(keys, primary=chosen, plain_keys=plain_keys, require=require)
