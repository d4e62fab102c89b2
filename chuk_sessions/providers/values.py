"""Checks of the keys, TTLs and values that every provider takes."""

from __future__ import annotations

from ..core.durations import MAX_MS, ms_from_seconds

MAX_SECONDS = MAX_MS // 1000


def ttl_ms(ttl: object) -> int:
    """Convert a TTL in seconds to ms. Raises ValueError unless it is a positive number of at most a hundred years."""
    if type(ttl) is int and 0 < ttl <= MAX_SECONDS:
        return ttl * 1000
    return ms_from_seconds(ttl, "ttl")


def check_key(key: object) -> str:
    """Return a key unchanged. Raises ValueError unless it is text without lone surrogates."""
    if not isinstance(key, str):
        raise ValueError(f"a key must be a string, not {type(key).__name__}")
    return key if key.isascii() else _utf8(key, "a key")


def check_value(value: object) -> str:
    """Return a value as text. Raises ValueError unless it is text without lone surrogates, or UTF-8 bytes."""
    if isinstance(value, str):
        return value if value.isascii() else _utf8(value, "a value")
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("a value given as bytes must be UTF-8") from None
    raise ValueError(f"a value must be text or bytes, not {type(value).__name__}")


def _utf8(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} must not hold lone surrogates") from None
    return text
