"""A codec for tests that needs salts and binds values to sandbox, salt, and field. It keeps nothing secret."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from chuk_sessions.core import codec, ids
from chuk_sessions.core.owners import Form, Owner
from chuk_sessions.core.values import SALT
from chuk_sessions.exceptions import CorruptRecordError, KeyUnavailableError, NotACounterError

_MARK = b"E"
_NONCE_BYTES = 4
_TAG_START = 1 + _NONCE_BYTES
_TEXT_START = _TAG_START + 8
_LOCKED = b"EL"
_OWNER = b"u"
_NO_FIELDS: Mapping[bytes, bytes] = MappingProxyType({})


class UnreadableError(KeyUnavailableError):
    """A value that is not damaged, but cannot be decoded for now."""


class ToyCodec:
    """A codec that XORs each value with a stream, and puts a nonce and a tag before it.

    It encodes a value differently each time, but an owner always in the same way. Values of the keys in PLAIN remain
    JSON text.
    """

    needs_salt = True
    needs_fields = True
    PLAIN = ("hits", "log")

    def __init__(self, sandbox_id: str) -> None:
        self._sandbox = sandbox_id.encode()
        self._plain = {codec.field_of(key) for key in self.PLAIN}

    def encode(self, metadata: Mapping[str, Any], limit: int, salt: bytes = b"", /) -> list[bytes]:
        pairs = codec.encode(metadata, limit)
        if salt:
            for field, place in zip(pairs[::2], range(1, len(pairs), 2), strict=True):
                if field not in self._plain:
                    pairs[place] = self._seal(field, salt, pairs[place], secrets.token_bytes(_NONCE_BYTES))
        return pairs

    def encode_expected(
        self, expected: Mapping[str, Any], limit: int, fields: Mapping[bytes, bytes] = _NO_FIELDS, /
    ) -> list[bytes]:
        pairs = codec.encode_expected(expected, limit)
        salt = fields.get(SALT, b"")
        for field, place in zip(pairs[::2], range(1, len(pairs), 2), strict=True):
            stored = fields.get(field, b"")
            if stored.startswith(_MARK):
                pairs[place] = stored if self._open(field, salt, stored) == pairs[place] else pairs[place]
        return pairs

    def decode(self, fields: Mapping[bytes, bytes], /) -> dict[str, Any]:
        salt = fields.get(SALT, b"")
        return codec.decode(
            {
                field: self._open(field, salt, value) if value.startswith(_MARK) else value
                for field, value in fields.items()
                if field.startswith(codec.PREFIX)
            }
        )

    def plain_field(self, key: object, /) -> bytes:
        field = codec.field_of(key)
        if field not in self._plain:
            raise NotACounterError("this key is encoded")
        return field

    def owner(self, user_id: str, /) -> Owner:
        return Owner(Form(self._seal(_OWNER, b"", ids.user_bytes(user_id)), ids.user_hash(user_id)))

    def owner_pairs(self, _user_id: str, _salt: bytes, /) -> list[bytes]:
        return []

    def decode_owner(self, fields: Mapping[bytes, bytes], /) -> str | None:
        owner = fields.get(_OWNER)
        return None if owner is None else codec.decode_owner({_OWNER: self._open(_OWNER, b"", owner)})

    def renew(self, _fields: Mapping[bytes, bytes], _salt: bytes, /) -> list[bytes]:
        return []

    def _seal(self, field: bytes, salt: bytes, text: bytes, nonce: bytes = bytes(_NONCE_BYTES)) -> bytes:
        return _MARK + nonce + self._tag(nonce, field, salt, text) + self._xor(nonce, field, salt, text)

    def _open(self, field: bytes, salt: bytes, value: bytes) -> bytes:
        if value == _LOCKED:
            raise UnreadableError("the key is not available")
        mark, nonce, tag = value[:1], value[1:_TAG_START], value[_TAG_START:_TEXT_START]
        text = self._xor(nonce, field, salt, value[_TEXT_START:])
        if mark != _MARK or tag != self._tag(nonce, field, salt, text):
            raise CorruptRecordError("a stored value does not belong here")
        return text

    def _tag(self, *parts: bytes) -> bytes:
        return self._digest(_TEXT_START - _TAG_START, *parts)

    def _xor(self, nonce: bytes, field: bytes, salt: bytes, text: bytes) -> bytes:
        stream = self._digest(len(text), nonce, field, salt)
        return bytes(left ^ right for left, right in zip(text, stream, strict=True))

    def _digest(self, length: int, *parts: bytes) -> bytes:
        text = b"".join(b"%d:%s" % (len(part), part) for part in (self._sandbox, *parts))
        return hashlib.shake_128(text).digest(length)
