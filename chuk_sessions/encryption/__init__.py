"""Encryption of metadata and owners at rest. docs/encryption.md describes it."""

from .configuration import Encryption, from_env
from .keyset import generate_key
from .reencryption import Progress, count_keys, reencrypt

__all__ = ["Encryption", "Progress", "count_keys", "from_env", "generate_key", "reencrypt"]
