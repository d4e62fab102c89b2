"""Twin of `lua/commit.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace
from .include import is_after


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Move the cursor of a reader in this bucket, and renew or release its lease."""
    key, events = keys
    name, owner, fence, lease, from_, cursor, read, ahead = argv
    state = space.hash(key)
    last, added, gone = space.xstate(events)
    if state.get(b"o" + name) != owner or int(state[b"f" + name]) != fence or is_after(cursor, last):
        return [GONE]
    total = int(state[b"n" + name])
    if state[b"c" + name] == from_:
        total += read
    elif state[b"c" + name] != cursor:
        return [GONE]
    missed = max(0, (added if cursor == last else gone) - total - ahead)
    space.hset(
        key,
        {
            b"c" + name: cursor,
            b"n" + name: total + missed,
            b"l" + name: int(state[b"l" + name]) + missed,
            b"u" + name: space.now + lease,
            b"w" + name: lease,
        },
    )
    return [OK, missed]
