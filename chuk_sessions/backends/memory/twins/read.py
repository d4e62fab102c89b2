"""Twin of `lua/read.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import open_


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Read a whole session; write nothing."""
    opened = open_(space, keys[0])
    if isinstance(opened, list):
        return opened
    if len(keys) == 1:
        return [OK, space.hgetall(keys[0]), space.now]
    return [OK, space.hgetall(keys[0]), space.now, space.zrangewithscores(keys[1], space.now + 1)]
