"""Twin of `lua/use_once.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import EXISTS, OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remember an id that may be used once."""
    (key,) = keys
    use, ttl = argv
    known = space.hash(key)
    if b"u" in known and int(known[b"t"]) > space.now:
        return [OK if known[b"u"] == use else EXISTS]
    space.hset(key, {b"u": use, b"t": space.now + ttl})
    space.pexpireat(key, space.now + ttl)
    return [OK]
