"""Twin of `lua/forget.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove notes that were not refreshed since they were read, and plan the next check of a user's notes."""
    notes, noted = keys
    user, recheck = argv[:2]
    for bucket, refreshed in zip(argv[2::2], argv[3::2], strict=True):
        if space.zscore(notes, bucket) == refreshed:
            space.zrem(notes, bucket)
    if space.zcard(notes) > 0:
        space.zadd(noted, space.now + recheck, user)
    else:
        space.zrem(noted, user)
    return [OK]
