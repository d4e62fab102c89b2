"""Ids that may be used once in a sandbox, such as those of proofs of possession. The store has their hashes only."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final

from . import ids
from . import statuses as s
from .keys import index
from .operation import Call, Operation, names

# The key of the id is called a session, so that custom providers load it.
USE_ONCE: Final = Operation(
    "use_once", names("session"), names("use ttl"), frozenset({s.OK, s.EXISTS, s.CORRUPT}), retryable=True, durable=True
)


def use_once(sandbox_id: str, name: str, ttl_ms: int) -> Call:
    """Remember an id for some time. The status is OK for its first use, and EXISTS for a further one."""
    return Call(USE_ONCE, (key_of(sandbox_id, name),), (secrets.token_bytes(8).hex().encode(), ttl_ms))


def key_of(sandbox_id: str, name: str) -> str:
    """Return the key of an id, which may be any text."""
    digest = sha256(name.encode("utf-8", "surrogatepass")).digest()
    return index(sandbox_id, digest[16]).used(ids.handle_of(digest).decode())
