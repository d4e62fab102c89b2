"""Sealing: the format of an encrypted value. docs/encryption.md describes it for other programs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..exceptions import CorruptRecordError, KeyUnavailableError
from .keyset import Keyset, derive
from .nonces import NONCE_BYTES, NONCES

MARK: Final = b"E"
"""The first byte of an encrypted value. JSON text never begins with it."""

FORMAT: Final = b"E\x01"
SALT_BYTES: Final = 16
OVERHEAD: Final = 33
"""Bytes of header, nonce, and tag."""

_INFO: Final = b"chuk-sessions E1"
_HEADER_BYTES: Final = 5
_TEXT_START: Final = _HEADER_BYTES + NONCE_BYTES
_RECENT_SESSIONS: Final = 4096
"""Sessions whose ciphers are kept. Deriving one takes as long as encrypting three values."""


class Sealer:
    """An encryptor and decryptor of the values of one sandbox.

    Attributes:
        primary: the hash of the id of the key that encrypts; None if nothing is encrypted.

    """

    def __init__(self, keyset: Keyset, primary: bytes | None, sandbox_id: str) -> None:
        self._keyset = keyset
        self.primary = primary
        self._header = FORMAT + (primary or b"")
        self._bound_to = FORMAT + sandbox_id.encode() + b"/"
        self._cipher: Callable[[bytes, bytes], AESGCM] = lru_cache(_RECENT_SESSIONS)(self._derived)

    def seal(self, salt: bytes, pairs: list[bytes], kept: Collection[bytes] = ()) -> list[bytes]:
        """Encrypt the values in a list of field, value, field, value..., except `kept` fields. Return the same list."""
        assert self.primary is not None, "only a sealer with a primary key encrypts"
        encrypt, bound_to, header = self._cipher(self.primary, salt).encrypt, self._bound_to + salt, self._header
        next_nonce = NONCES.supply()
        for place in range(1, len(pairs), 2):
            field = pairs[place - 1]
            if field not in kept:
                nonce = next_nonce()
                pairs[place] = header + nonce + encrypt(nonce, pairs[place], bound_to + field)
        return pairs

    def open(self, salt: bytes, field: bytes, value: bytes) -> bytes:
        """Return the text of an encrypted value.

        Raises:
            KeyUnavailableError: it is encrypted under a key that is not in the keyset, or in an unknown format.
            CorruptRecordError: it is damaged, or was encrypted for another place.

        """
        if value[:2] != FORMAT:
            raise KeyUnavailableError("a stored value is encrypted in a format that this version does not know")
        if len(value) < OVERHEAD:
            raise CorruptRecordError("a stored value is too short")
        cipher = self._cipher(value[2:_HEADER_BYTES], salt)
        try:
            return cipher.decrypt(value[_HEADER_BYTES:_TEXT_START], value[_TEXT_START:], self._bound_to + salt + field)
        except InvalidTag:
            raise CorruptRecordError("a stored value is damaged, or was encrypted for another place") from None

    def is_current(self, value: bytes) -> bool:
        """Return whether a value is encrypted under the primary key."""
        return self.primary is not None and value.startswith(self._header)

    def _derived(self, key: bytes, salt: bytes) -> AESGCM:
        master = self._keyset.masters.get(key)
        if master is None:
            raise KeyUnavailableError(
                f"a stored value is encrypted under a key that is not available (hash {key.hex()})"
            )
        if len(salt) != SALT_BYTES:
            raise CorruptRecordError("the salt of a stored session is missing or damaged")
        self._keyset.uses[key] += 1
        return AESGCM(derive(master, salt, _INFO))
