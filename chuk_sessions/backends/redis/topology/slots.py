"""The slot of a key in a cluster."""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache

SLOTS = 16_384


def slot_of(key: str) -> int:
    """Return the slot of a key, 0 to 16,383. Only the hash tag counts: the text in the first braces, if not empty."""
    start = key.find("{") + 1
    end = key.find("}", start) if start else -1
    return _slot(key[start:end] if end > start else key)


@lru_cache(maxsize=1024)
def _slot(text: str) -> int:
    return crc_hqx(text.encode(), 0) % SLOTS
