"""The codec that encrypts: values and owners of one sandbox as they are stored."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..core import codec
from ..core.owners import HASH, KEYED, TEXT, Form, Owner, hashed
from ..core.values import JSON, SALT, plain_form, salt_of, salted
from ..exceptions import CorruptRecordError, EncryptedValueError, KeyUnavailableError
from .keyset import Keyset
from .recent_values import Fields, RecentValues
from .sealing import FORMAT, MARK, Sealer

_HASH_BYTES: Final = 15
_SCORE_BITS: Final = 52
_RECENT_OWNERS: Final = 8192
_NO_FIELDS: Final[Mapping[bytes, bytes]] = MappingProxyType({})


class Rewriting(NamedTuple):
    """Changes that bring a record into the current encoding.

    Attributes:
        pairs: fields to set, as field, value, field, value... The salt comes first if values have one.
        removals: fields to remove.
        score: the number for the index of users; None if the owner stays the same.

    """

    pairs: list[bytes]
    removals: list[bytes]
    score: int | None


class EncryptedValues:
    """The codec of the values and owners in one sandbox.

    Attributes:
        source: the object that has the figures of the keys, which must exist as long as the codec.

    """

    needs_fields = True
    source: object = None

    def __init__(
        self, keyset: Keyset, primary: bytes | None, plain: frozenset[bytes], require: bool, sandbox_id: str
    ) -> None:
        self.needs_salt = primary is not None
        self._sealer = Sealer(keyset, primary, sandbox_id)
        self._plain = plain
        self._require = require
        self._index_key, self._sandbox = keyset.index, sandbox_id.encode()
        self._recent = RecentValues(self._open_all)
        self._open_owner = lru_cache(_RECENT_OWNERS)(self._opened_owner)
        self.owner = lru_cache(_RECENT_OWNERS)(self._owner)

    def encode(self, metadata: Mapping[str, Any], limit: int, salt: bytes = b"", /) -> list[bytes]:
        """Return metadata as `ValueCodec.encode` does: encrypted, if there is a salt."""
        pairs = JSON.encode(metadata, limit)
        return self._sealer.seal(salt, pairs, self._plain) if salt and pairs else pairs

    def encode_expected(
        self, expected: Mapping[str, Any], limit: int, fields: Mapping[bytes, bytes] = _NO_FIELDS, /
    ) -> list[bytes]:
        """Return expected metadata as `ValueCodec.encode_expected` does: the stored value, if it has the expected text.

        Otherwise, return a value that no record has, because calls must not show the text.
        """
        pairs = JSON.encode_expected(expected, limit)
        for place in range(1, len(pairs), 2):
            field, text = pairs[place - 1 : place + 1]
            stored = fields.get(field, b"")
            if text:
                pairs[place] = stored if stored and self._opened(field, fields) == text else MARK
        return pairs

    def decode(self, fields: Mapping[bytes, bytes], /) -> dict[str, Any]:
        """Return metadata as `ValueCodec.decode` does, decrypted."""
        # Names of two or more characters are those of metadata and rate limits. This is the fastest test.
        stored = {field: value for field, value in fields.items() if len(field) > 1}
        return JSON.decode(self._recent.opened(fields.get(SALT, b""), stored)) if stored else {}

    def plain_field(self, key: object, /) -> bytes:
        """Return the field of a plain key. Raises EncryptedValueError for any other key."""
        field = codec.field_of(key)
        if self.needs_salt and field not in self._plain:
            raise EncryptedValueError(f"the value of {key!r} is encrypted; name the key in plain_keys to change it so")
        return field

    def _owner(self, user_id: str) -> Owner:
        plain = plain_form(user_id)
        if plain.identity.startswith(FORMAT):
            raise ValueError("with encryption, a user_id cannot begin with the characters 45 and 01 (hex)")
        digest = hmac.digest(self._index_key, self._sandbox + b"/" + plain.identity, "sha256")
        score = int.from_bytes(digest[16:24]) >> (64 - _SCORE_BITS)
        keyed = Form(KEYED + digest[:_HASH_BYTES], score)
        if not self.needs_salt:
            return Owner(plain, keyed)
        # Calls must not contain the text, because MONITOR and the log of slow calls show them.
        return Owner(keyed, Form(hashed(plain.identity), plain.score))

    def owner_pairs(self, user_id: str, salt: bytes, /) -> list[bytes]:
        """Return the owner, encrypted."""
        return self._sealer.seal(salt, [TEXT, plain_form(user_id).identity]) if salt else []

    def decode_owner(self, fields: Mapping[bytes, bytes], /) -> str | None:
        """Return the owner as `ValueCodec.decode_owner` does, decrypted."""
        owner = fields.get(TEXT)
        if owner is None:
            if HASH in fields:
                raise CorruptRecordError("a stored session has lost its owner")
            return None
        if HASH in fields or (SALT in fields and owner.startswith(FORMAT)):
            return self._open_owner(fields.get(SALT, b""), owner)
        if self._require:
            raise _plain_record()
        return JSON.decode_owner({TEXT: owner})

    def _opened_owner(self, salt: bytes, owner: bytes) -> str | None:
        return JSON.decode_owner({TEXT: self._sealer.open(salt, TEXT, owner)})

    def _open_all(self, salt: bytes, stored: Fields) -> Fields:
        """Return metadata fields with their JSON texts."""
        opened = {}
        for field, value in stored.items():
            if value[:1] == MARK:
                opened[field] = self._sealer.open(salt, field, value)
            elif self._require and field not in self._plain and field.startswith(codec.PREFIX):
                raise _plain_record()
            else:
                opened[field] = value
        return opened

    def renew(self, fields: Mapping[bytes, bytes], salt: bytes, /) -> list[bytes]:
        """Return the values under other keys, encrypted under the primary key."""
        outdated = {
            field: self._opened(field, fields)
            for field, value in fields.items()
            if field[:2] == codec.PREFIX and not self._is_current(field, value)
        }
        pairs = [part for pair in outdated.items() for part in pair]
        return self._sealer.seal(salt, pairs, self._plain) if salt and pairs else pairs

    def rewriting(self, fields: Mapping[bytes, bytes]) -> Rewriting | None:
        """Return the changes that bring a record into the current encoding; None if it has that encoding already.

        Raises:
            KeyUnavailableError, CorruptRecordError: as `decode` raises them.

        """
        salt = salt_of(self, fields)
        pairs, removals, score = self.renew(fields, salt), [], None
        if TEXT in fields and not self._owner_is_current(fields):
            form = self.owner(self.owner_in(fields)).form
            # With a key, `h` is the identity, and `u` is encrypted. Without one, `u` is the identity.
            pairs += [HASH, form.identity] if salt else [TEXT, form.identity]
            pairs += self.owner_pairs(self.owner_in(fields), salt)
            score = form.score
        if not salt:
            removals = [field for field in (SALT, HASH) if field in fields]
        if not pairs and not removals:
            return None
        return Rewriting(salted(pairs, salt), removals, score)

    def keys_in(self, fields: Mapping[bytes, bytes]) -> Iterator[bytes | None]:
        """Yield the hash of the key's id for each value and owner in a record; None for plain text."""
        for field, value in fields.items():
            if field == TEXT:
                yield value[2:5] if HASH in fields else None
            elif field[:2] == codec.PREFIX and value.startswith(MARK):
                yield value[2:5]
            elif field[:2] == codec.PREFIX and field not in self._plain:
                yield None

    def owner_in(self, fields: Mapping[bytes, bytes]) -> str:
        """Return the owner of a record that has one, whether or not plain records are refused."""
        owner = fields[TEXT]
        if HASH in fields:
            owner = self._sealer.open(fields.get(SALT, b""), TEXT, owner)
        return JSON.decode_owner({TEXT: owner}) or ""

    def _owner_is_current(self, fields: Mapping[bytes, bytes]) -> bool:
        if self.needs_salt:
            return HASH in fields and self._sealer.is_current(fields[TEXT])
        return HASH not in fields

    def _is_current(self, field: bytes, value: bytes) -> bool:
        if field in self._plain or not self.needs_salt:
            return not value.startswith(MARK)
        return self._sealer.is_current(value)

    def _opened(self, field: bytes, fields: Mapping[bytes, bytes]) -> bytes:
        """Return the JSON text of a value in a record."""
        value = fields[field]
        return self._sealer.open(fields.get(SALT, b""), field, value) if value.startswith(MARK) else value


def _plain_record() -> KeyUnavailableError:
    return KeyUnavailableError("a stored session is not encrypted, and this manager requires encryption")
