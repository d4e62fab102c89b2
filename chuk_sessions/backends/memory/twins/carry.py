"""Twin of `lua/carry.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import expire_with_last, open_


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Copy operation ids to the new session that a login creates."""
    key, operations = keys
    opened = open_(space, key)
    if isinstance(opened, list):
        return opened
    for valid_until, operation in zip(argv[::2], argv[1::2], strict=True):
        space.zadd(operations, int(valid_until), operation)
    expire_with_last(space, operations)
    return [OK]
