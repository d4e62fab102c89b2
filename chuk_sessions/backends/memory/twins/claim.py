"""Twin of `lua/claim.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import HELD, OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Claim the lease of a reader on this bucket, unless another process holds it."""
    key, events = keys
    name, owner, lease, newest = argv
    state = space.hash(key)
    left = int(state.get(b"u" + name, 0)) - space.now
    fence = int(state.get(b"f" + name, 0)) + 1
    cursor = state.get(b"c" + name)
    if state.get(b"o" + name, owner) != owner and 0 < left <= int(state[b"w" + name]):
        return [HELD, left]
    if cursor is None:
        last, added, gone = space.xstate(events)
        cursor = last if newest else b"0-0"
        space.hset(key, {b"c" + name: cursor, b"n" + name: added if newest else gone, b"l" + name: 0})
    space.hset(key, {b"o" + name: owner, b"f" + name: fence, b"u" + name: space.now + lease, b"w" + name: lease})
    return [OK, fence, cursor]
