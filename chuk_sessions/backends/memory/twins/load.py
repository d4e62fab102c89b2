"""Twin of `lua/load.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import access


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Read a whole session, and record the access: `validate` and `read` in one."""
    reply = access(space, keys, argv)
    return [OK, space.hgetall(keys[0])] if reply[0] == OK else reply
