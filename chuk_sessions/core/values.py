"""The value codec: turns metadata and owners into stored bytes, and back.

A manager has one codec. The engine uses it for everything that it stores or returns; backends and scripts never look
inside a value. The default is `JSON`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol

from ..enums import ABSENT
from . import codec, ids
from .owners import Form, Owner

SALT: Final = b"s"
"""The record field of the salt, for codecs that need one."""

_SALT_BYTES: Final = 16
_NO_FIELDS: Final[Mapping[bytes, bytes]] = MappingProxyType({})


class ValueCodec(Protocol):
    """A codec of the values and owners in one sandbox.

    A codec knows its sandbox, because a `CodecFactory` creates it for one. `encode` also gets the salt of the session
    and chooses the fields, so it can bind each value to sandbox, salt, and field. It does not learn the handle: a
    rotation gives the same fields another handle.

    The rules for every codec:

    - **Salt.** A manager with `needs_salt` stores a random salt in field `s` of each session that it creates. Rotation
      and login copy the field, so values remain valid. Each update carries the salt of its values. A record without a
      salt adopts it; a record with another one refuses the update, and the values are encoded again under its salt.
    - **Damage.** A value that cannot be decoded raises CorruptRecordError. It is never left out, because "not there"
      would log users out without an error. The engine treats CorruptRecordError as damage: a list leaves the session
      out, and a full cap evicts it first. A value that is only unreadable for now, such as one under a missing key,
      raises KeyUnavailableError, which the engine passes on to the caller.
    - **JSON text.** `decode` must accept JSON text as well, because scripts write it: a counter is decimal text, which
      HINCRBY adds to, and an append adds the texts of items to a list. JSON text never begins with a capital letter, so
      an encoded value should: with `E`. `plain_field` names the keys that scripts may change. The codec must store
      their values as JSON text.
    - **Owner.** Scripts compare identities byte by byte, so these are deterministic: the text of the user id in the
      field `u`, or a keyed hash in the field `h`, see `owners`. With a hash, `owner_pairs` stores the id itself in `u`.
    - **No I/O.** All methods are synchronous and safe for threads.

    Attributes:
        needs_salt: whether `encode` and `owner_pairs` need the salt of the session.
        needs_fields: whether `encode_expected` needs the fields of the record.

    """

    needs_salt: bool
    needs_fields: bool

    def encode(self, metadata: Mapping[str, Any], limit: int, salt: bytes = b"", /) -> list[bytes]:
        """Return metadata as field, value, field, value... `limit` applies to keys and values as JSON text.

        Raises:
            InvalidMetadataError: JSON cannot represent the metadata exactly.
            MetadataTooLargeError: keys and values together have more than `limit` bytes.

        """

    def encode_expected(
        self, expected: Mapping[str, Any], limit: int, fields: Mapping[bytes, bytes] = _NO_FIELDS, /
    ) -> list[bytes]:
        """Return expected metadata as field, value, field, value... for a script to compare; empty for ABSENT.

        `fields` is the record as it was read, with `needs_fields` only. A codec that encodes a value differently each
        time returns the value in `fields` if it decodes to the expected one, and otherwise any that is not there. If
        such a value is encoded again in between, the script finds another one, and the engine reads the record again.

        Raises:
            InvalidMetadataError, MetadataTooLargeError: as `encode` does.

        """

    def decode(self, fields: Mapping[bytes, bytes], /) -> dict[str, Any]:
        """Return the metadata in the fields of a record, the salt among them.

        Raises:
            CorruptRecordError: a value is not one that `encode` or a script would write there.

        """

    def plain_field(self, key: object, /) -> bytes:
        """Return the field of a metadata key whose value a script changes in place: a counter, or a list that grows.

        Raises:
            InvalidMetadataError: the key is not a string.
            SessionError: the codec does not store values of this key as JSON text.

        """

    def owner(self, user_id: str, /) -> Owner:
        """Return the forms in which records and indexes may have a user. Scripts store the first identity."""

    def owner_pairs(self, user_id: str, salt: bytes, /) -> list[bytes]:
        """Return the fields that a record of the user has besides its identity, as field, value, field, value..."""

    def decode_owner(self, fields: Mapping[bytes, bytes], /) -> str | None:
        """Return the owner in the fields of a record, or None if it has none.

        Raises:
            CorruptRecordError: this library would not write such an owner.

        """

    def renew(self, fields: Mapping[bytes, bytes], salt: bytes, /) -> list[bytes]:
        """Return the values in the fields of a record that `encode` would write in another encoding, under the salt, as
        field, value, field, value...

        Raises:
            CorruptRecordError: as `decode` does.

        """


CodecFactory = Callable[[str], ValueCodec]
"""Returns the codec for a sandbox, given its name."""


class _Json:
    """The codec of JSON text. It calls the functions directly, and ignores sandbox and salt."""

    needs_salt = False
    needs_fields = False
    encode = staticmethod(codec.encode)
    encode_expected = staticmethod(codec.encode_expected)
    decode = staticmethod(codec.decode)
    plain_field = staticmethod(codec.field_of)
    decode_owner = staticmethod(codec.decode_owner)

    def owner(self, user_id: str, /) -> Owner:
        return _plain_owner(user_id)

    def owner_pairs(self, _user_id: str, _salt: bytes, /) -> list[bytes]:
        return []

    def renew(self, _fields: Mapping[bytes, bytes], _salt: bytes, /) -> list[bytes]:
        return []


def plain_form(user_id: str) -> Form:
    """Return the form of a user whose id is stored as text."""
    return Form(ids.user_bytes(user_id), ids.user_hash(user_id))


@lru_cache(maxsize=4096)
def _plain_owner(user_id: str) -> Owner:
    return Owner(plain_form(user_id))


JSON: Final[ValueCodec] = _Json()
"""The default codec."""


def json_codec(_sandbox_id: str) -> ValueCodec:
    """Return the default codec, which is the same for every sandbox."""
    return JSON


def new_salt(values: ValueCodec) -> bytes:
    """Return a salt for a new session; empty if the codec needs none."""
    return secrets.token_bytes(_SALT_BYTES) if values.needs_salt else b""


def salt_of(values: ValueCodec, fields: Mapping[bytes, bytes]) -> bytes:
    """Return the salt for values of this record: its own, or a new one; empty if the codec needs none."""
    return fields.get(SALT) or new_salt(values) if values.needs_salt else b""


def salted(pairs: list[bytes], salt: bytes) -> list[bytes]:
    """Return pairs for an update, with the salt of their values before them. Without pairs, none is needed."""
    return [SALT, salt, *pairs] if salt and pairs else pairs


def decode_value(values: ValueCodec, field: bytes, fields: Mapping[bytes, bytes]) -> Any:
    """Return the value of one field of a record, or ABSENT. Raises CorruptRecordError as `decode` does."""
    if field not in fields:
        return ABSENT
    return values.decode({name: fields[name] for name in (SALT, field) if name in fields})[codec.key_of(field)]
