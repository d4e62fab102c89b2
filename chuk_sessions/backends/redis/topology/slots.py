"""The slot of a key in a cluster."""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache

SLOTS = 16_384


def slot_of(key: str) -> int:
    """0 to 16,383: of the text between the first brace and the next closing one, where there is such a text."""
    start = key.find("{") + 1
    end = key.find("}", start) if start else -1
    return _slot(key[start:end] if end > start else key)


@lru_cache(maxsize=1024)
def _slot(text: str) -> int:
    return crc_hqx(text.encode(), 0) % SLOTS
