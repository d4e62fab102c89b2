"""Encoding of metadata: to stored bytes and back, exactly, or not at all.

A value is stored as JSON text in UTF-8. UTF-8 cannot represent lone surrogates; they are stored as the three bytes that
Python's `surrogatepass` writes. Whole numbers may have up to 4,300 digits, Python's own limit. JSON would change some
values, so they are refused: NaN and the infinities, bytes, tuples, sets, keys that are not strings, and nesting deeper
than 200.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ..enums import ABSENT
from ..exceptions import CorruptRecordError, InvalidMetadataError, KeyUnavailableError, MetadataTooLargeError

MAX_DEPTH = 200
PREFIX = b"m:"
_OWNER = b"u"
_OWNER_HASH = b"h"
_ENCRYPTED = b"E\x01"
_PREFIX_LENGTH = len(PREFIX)
_LARGE = 2**63
MAX_CACHED = 64

_CONSTANTS = {None: b"null", True: b"true", False: b"false"}
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_quote = json.encoder.encode_basestring
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def field_of(key: object) -> bytes:
    """Return the record field of a metadata key.

    Raises:
        InvalidMetadataError: the key is not a string.

    """
    if type(key) is str and len(key) <= MAX_CACHED:
        return _short_field(key)
    if not isinstance(key, str):
        raise InvalidMetadataError(f"metadata keys must be strings, not {type(key).__name__}")
    return PREFIX + key.encode("utf-8", "surrogatepass")


# Sharing one object per name also keeps the emulator's records small.
@lru_cache(maxsize=1024)
def _short_field(key: str) -> bytes:
    return PREFIX + key.encode("utf-8", "surrogatepass")


def encode(metadata: Mapping[str, Any], limit: int, _salt: bytes = b"") -> list[bytes]:
    """Return metadata as field, value, field, value... JSON needs no salt; other codecs do, see `values`.

    Raises:
        InvalidMetadataError: JSON cannot represent the metadata exactly.
        MetadataTooLargeError: keys and values together have more than `limit` bytes.

    """
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"metadata must be a dict, not {type(metadata).__name__}")
    pairs: list[bytes] = []
    left = limit
    for key, value in metadata.items():
        # Nearly all keys are short. Looking them up here saves a call.
        field = _short_field(key) if type(key) is str and len(key) <= MAX_CACHED else field_of(key)
        # Most values are text.
        is_text = type(value) is str
        text = _quote(value).encode("utf-8", "surrogatepass") if is_text else _encode_value(value, left)
        pairs += (field, text)
        left -= len(field) - _PREFIX_LENGTH + len(text)
        if left < 0:
            raise _too_large(limit)
    return pairs


def encode_expected(
    expected: Mapping[str, Any], limit: int, _fields: Mapping[bytes, bytes] = MappingProxyType({})
) -> list[bytes]:
    """Return expected metadata as field, value, field, value... The value for ABSENT is empty: no JSON text is.

    JSON encodes a value in one way only and need not know the fields of the record; see `values`.

    Raises:
        InvalidMetadataError: JSON cannot represent the metadata exactly.
        MetadataTooLargeError: keys and values together have more than `limit` bytes.

    """
    if not isinstance(expected, Mapping):
        raise InvalidMetadataError(f"expected metadata must be a dict, not {type(expected).__name__}")
    pairs = encode({key: value for key, value in expected.items() if value is not ABSENT}, limit)
    absent = [field_of(key) for key, value in expected.items() if value is ABSENT]
    return pairs + [part for field in absent for part in (field, b"")]


def encode_items(key: str, items: Sequence[Any], limit: int) -> tuple[bytes, bytes]:
    """Return the field of a list, and items to append to it as JSON texts that are separated by commas. Raises as
    `encode` does.
    """
    field, text = encode({key: list(items)}, limit)
    return field, text[1:-1]


def decode(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the metadata in the fields of a record, whose other fields are ignored.

    Raises:
        CorruptRecordError: `encode` would not write such a value.
        KeyUnavailableError: a value is encrypted.

    """
    metadata = {}
    try:
        for field, value in fields.items():
            if field[:_PREFIX_LENGTH] == PREFIX:
                text = value.decode("utf-8", "surrogatepass")
                key = _short_key(field) if len(field) <= MAX_CACHED else key_of(field)
                # `encode` writes no white space around a value, so the scanner need not skip any.
                metadata[key], end = _scan(text, 0)
                if end != len(text):
                    raise ValueError("more than one value")
    except (ValueError, RecursionError, StopIteration) as error:
        if any(is_encrypted(value) for field, value in fields.items() if field[:_PREFIX_LENGTH] == PREFIX):
            raise _encrypted() from None
        raise CorruptRecordError("a stored metadata value is not JSON") from error
    return metadata


def is_encrypted(value: bytes) -> bool:
    """Return whether a stored value is encrypted. JSON text never begins like that."""
    return value.startswith(_ENCRYPTED)


def _encrypted() -> KeyUnavailableError:
    return KeyUnavailableError("a stored session is encrypted, and this manager has no keys")


def decode_owner(fields: Mapping[bytes, bytes]) -> str | None:
    """Return the owner in the fields of a record, or None if it has none.

    Raises:
        CorruptRecordError: the owner is not text.
        KeyUnavailableError: the owner is encrypted.

    """
    owner = fields.get(_OWNER)
    if _OWNER_HASH in fields:
        raise _encrypted()
    try:
        return None if owner is None else owner.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptRecordError("the owner of a stored session is not text") from error


# All sessions of an application have the same few keys. Long keys would take too much memory.
@lru_cache(maxsize=1024)
def _short_key(field: bytes) -> str:
    return key_of(field)


def key_of(field: bytes) -> str:
    """Return the metadata key of a field. Raises UnicodeDecodeError for bytes that `field_of` would not return."""
    return field[_PREFIX_LENGTH:].decode("utf-8", "surrogatepass")


def _encode_value(value: Any, budget: int) -> bytes:
    kind = type(value)
    if kind is str:
        return _quote(value).encode("utf-8", "surrogatepass")
    if kind is bool or value is None:
        return _CONSTANTS[value]
    if kind is int and -_LARGE < value < _LARGE:
        return b"%d" % value
    if isinstance(value, (dict, list)):
        _check_container(value, budget)
    else:
        _check_scalar(value)
    try:
        return _encode_json(value).encode("utf-8", "surrogatepass")
    except ValueError as error:
        raise InvalidMetadataError(f"a metadata value cannot be stored exactly: {error}") from error


def _check_container(root: dict[Any, Any] | list[Any], budget: int) -> None:
    """Check a dict or list, level by level, before JSON encodes it.

    Raise an error for values that JSON would change without notice, and for more values than there are bytes allowed. A
    small structure can have that many if it refers to its own parts many times.
    """
    level: list[Any] = [root]
    count = 0
    for _ in range(MAX_DEPTH):
        next_level: list[Any] = []
        for container in level:
            children = _children(container)
            count += len(children)
            if count > budget + 1:
                raise _too_large(budget)
            for child in children:
                if isinstance(child, (dict, list)):
                    next_level.append(child)
                else:
                    _check_scalar(child)
        if not next_level:
            return
        level = next_level
    raise InvalidMetadataError(f"metadata is nested deeper than {MAX_DEPTH}")


def _children(container: dict[Any, Any] | list[Any]) -> list[Any]:
    if isinstance(container, list):
        return container
    for key in container:
        if not isinstance(key, str):
            raise InvalidMetadataError(f"metadata keys must be strings, not {type(key).__name__}")
    return list(container.values())


def _check_scalar(value: Any) -> None:
    """Raise InvalidMetadataError for a value of a type that JSON does not have."""
    if value is None or isinstance(value, (str, int, float)):
        return
    hint = "; use a list" if isinstance(value, (tuple, set, frozenset)) else ""
    raise InvalidMetadataError(f"metadata cannot hold {type(value).__name__}: JSON would change its type{hint}")


def _too_large(limit: int) -> MetadataTooLargeError:
    return MetadataTooLargeError(f"metadata is larger than the {limit} bytes allowed")
