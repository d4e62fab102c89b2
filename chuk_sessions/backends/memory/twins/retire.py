"""Twin of `lua/retire.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove a reader from this bucket."""
    (key,), (name,) = keys, argv
    state = space.hash(key)
    if b"c" + name not in state:
        return [GONE]
    fields = [letter + name for letter in (b"c", b"n", b"l", b"o", b"f", b"u", b"w")]
    if len(state) == len(fields):
        space.delete(key)
    else:
        space.hdel(key, fields)
    return [OK]
