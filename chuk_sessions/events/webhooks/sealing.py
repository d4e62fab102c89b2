"""Sealing: turns descriptions of endpoints and messages into stored bytes, and back, with the codec of the deployment.

With encryption, this encrypts secrets and user ids, as in the records of sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...core.values import SALT, ValueCodec, json_codec, new_salt
from ...exceptions import CorruptRecordError
from ..decoding import OwnerEncryption

_SANDBOX: Final = "webhooks"
_KEY: Final = "\0webhook"
"""No key of metadata that an application would name in `plain_keys`."""
_SALTED: Final = b"S"
"""The first byte of a value with a salt. The length of the salt follows in one byte, and the salt."""

_MAX_BYTES: Final = 1_048_576


class Sealer:
    """A codec of JSON objects.

    `encryption` is that of the deployment; None writes JSON text.
    """

    def __init__(self, encryption: OwnerEncryption | None = None) -> None:
        self._values: ValueCodec = (json_codec if encryption is None else encryption.codec)(_SANDBOX)

    def seal(self, value: Mapping[str, Any]) -> bytes:
        """Return the bytes to store."""
        salt = new_salt(self._values)
        _, text = self._values.encode({_KEY: dict(value)}, _MAX_BYTES, salt)
        return _SALTED + bytes([len(salt)]) + salt + text if salt else text

    def open(self, stored: bytes) -> dict[str, Any]:
        """Return the object from sealed bytes.

        Raises:
            CorruptRecordError: the bytes are damaged.
            SessionError: the bytes are encrypted, and the key is not available.

        """
        fields = {b"m:" + _KEY.encode(): stored}
        if stored.startswith(_SALTED) and len(stored) > 1:
            salt, text = stored[2 : 2 + stored[1]], stored[2 + stored[1] :]
            fields = {SALT: salt, b"m:" + _KEY.encode(): text}
        value = self._values.decode(fields)[_KEY]
        if not isinstance(value, dict):
            raise CorruptRecordError("a stored endpoint or message is not a JSON object")
        return value
