"""Metadata to stored bytes and back, exactly, or not at all.

A value is JSON text in UTF-8. Lone surrogates, which UTF-8 does not know, are stored as the three bytes that Python's
`surrogatepass` writes. Whole numbers may have up to 4,300 digits, Python's own limit. Refused, because JSON would
change them: NaN and the infinities, bytes, tuples, sets, keys that are not strings, and nesting deeper than 200.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..exceptions import CorruptRecordError, InvalidMetadataError, MetadataTooLargeError

MAX_DEPTH = 200
PREFIX = b"m:"
_PREFIXED = len(PREFIX)
_LARGE = 2**63
MAX_CACHED = 64

_CONSTANTS = {None: b"null", True: b"true", False: b"false"}
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def field_of(key: object) -> bytes:
    """The hash field of a metadata key. Raises InvalidMetadataError when the key is not a string."""
    if type(key) is str and len(key) <= MAX_CACHED:
        return _short_field(key)
    if not isinstance(key, str):
        raise InvalidMetadataError(f"metadata keys must be strings, not {type(key).__name__}")
    return PREFIX + key.encode("utf-8", "surrogatepass")


# One object for each name also keeps the emulator's records small.
@lru_cache(maxsize=1024)
def _short_field(key: str) -> bytes:
    return PREFIX + key.encode("utf-8", "surrogatepass")


def encode(metadata: Mapping[str, Any], limit: int) -> list[bytes]:
    """Metadata as field, value, field, value...

    Raises InvalidMetadataError for what JSON cannot carry exactly, MetadataTooLargeError when fields and values
    together have more than `limit` bytes.
    """
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"metadata must be a dict, not {type(metadata).__name__}")
    pairs: list[bytes] = []
    left = limit
    for key, value in metadata.items():
        # Nearly all keys are short: the call that asks is spared.
        field = _short_field(key) if type(key) is str and len(key) <= MAX_CACHED else field_of(key)
        text = _encode_value(value, left)
        pairs += (field, text)
        left -= len(field) - _PREFIXED + len(text)
        if left < 0:
            raise _too_large(limit)
    return pairs


def decode(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The inverse, from (field, value) pairs of a record; other fields than metadata's are passed over.

    Raises CorruptRecordError when a value is not what `encode` writes.
    """
    metadata = {}
    try:
        for field, value in fields:
            if field[:_PREFIXED] == PREFIX:
                # What `encode` writes begins and ends with the value: there is no white space to look for.
                text = value.decode("utf-8", "surrogatepass")
                key = _short_key(field) if len(field) <= MAX_CACHED else _long_key(field)
                metadata[key], end = _scan(text, 0)
                if end != len(text):
                    raise ValueError("more than one value")
    except (ValueError, RecursionError, StopIteration) as error:
        raise CorruptRecordError("a stored metadata value is not JSON") from error
    return metadata


# All sessions of an application have the same few keys. Long ones are not worth their place.
@lru_cache(maxsize=1024)
def _short_key(field: bytes) -> str:
    return _long_key(field)


def _long_key(field: bytes) -> str:
    return field[_PREFIXED:].decode("utf-8", "surrogatepass")


def _encode_value(value: Any, budget: int) -> bytes:
    kind = type(value)
    if kind is str:
        return _quoted(value).encode("utf-8", "surrogatepass")
    if kind is bool or value is None:
        return _CONSTANTS[value]
    if kind is int and -_LARGE < value < _LARGE:
        return b"%d" % value
    if isinstance(value, (dict, list)):
        _check(value, budget)
    else:
        _refused(value)
    try:
        return _encode_json(value).encode("utf-8", "surrogatepass")
    except ValueError as error:
        raise InvalidMetadataError(f"a metadata value cannot be stored exactly: {error}") from error


def _check(root: dict[Any, Any] | list[Any], budget: int) -> None:
    """Walks a container before JSON does: what it would change silently is refused, and so is what has more parts than
    bytes are allowed, which a structure that refers to itself many times over can have.
    """
    level: list[Any] = [root]
    parts = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            children = _children(value)
            parts += len(children)
            if parts > budget + 1:
                raise _too_large(budget)
            below += [child for child in children if isinstance(child, (dict, list)) or _refused(child)]
        if not below:
            return
        level = below
    raise InvalidMetadataError(f"metadata is nested deeper than {MAX_DEPTH}")


def _children(value: dict[Any, Any] | list[Any]) -> list[Any]:
    if isinstance(value, list):
        return value
    for key in value:
        if not isinstance(key, str):
            raise InvalidMetadataError(f"metadata keys must be strings, not {type(key).__name__}")
    return list(value.values())


def _refused(value: Any) -> bool:
    if value is None or isinstance(value, (str, int, float)):
        return False
    raise InvalidMetadataError(_refusal(value))


def _refusal(value: Any) -> str:
    hint = "; use a list" if isinstance(value, (tuple, set, frozenset)) else ""
    return f"metadata cannot hold {type(value).__name__}: JSON would not give it back as it is{hint}"


def _too_large(limit: int) -> MetadataTooLargeError:
    return MetadataTooLargeError(f"metadata is larger than the {limit} bytes allowed")
