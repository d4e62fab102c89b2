"""Twin of `lua/progress.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace, text


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Return how far each reader is in this bucket; write nothing."""
    key, events = keys
    state, readers = space.hash(key), list[Any]()
    _, added, gone = space.xstate(events)
    for name in sorted(field[1:] for field in state if field.startswith(b"c")):
        cursor, read, lost = text(state[b"c" + name]), int(state[b"n" + name]), int(state[b"l" + name])
        oldest = space.xrange(events, b"(" + cursor, b"+", 1)
        missed, left = max(0, (gone if oldest else added) - read), int(state[b"u" + name]) - space.now
        readers += [name, cursor]
        readers += [added - read - missed, oldest[0][0]] if oldest else [0, b""]
        readers.append(lost + missed)
        readers.append(text(state[b"o" + name]) if 0 < left <= int(state[b"w" + name]) else b"")
    return [OK, space.now, readers]
