"""Twin of `lua/count.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import HALF_MS, filter_live, page


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Count live sessions of a sandbox, or a page of those of a user in it, in this bucket; write nothing."""
    deadlines, users = keys
    user = argv[0]
    if user == b"":
        return [OK, space.zcount(deadlines, space.now + HALF_MS, None)]
    handles, last = page(space, users, user, user, argv[1], argv[2:])
    return [OK, len(filter_live(space, deadlines, handles)), *last]
