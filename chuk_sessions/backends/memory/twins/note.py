"""Twin of `lua/note.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Note that a user may have strays in a bucket, or refresh the note."""
    notes, noted = keys
    user, bucket, age = argv
    refreshed = space.zscore(notes, bucket) or 0
    space.zadd(notes, max(space.now, refreshed + 1), bucket)
    space.zadd(noted, space.now + age, user, lower_only=True)
    return [OK]
