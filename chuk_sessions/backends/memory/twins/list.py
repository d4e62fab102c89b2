"""Twin of `lua/list.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import living, page


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List live sessions of a sandbox, or of a user in it, in this bucket."""
    deadlines, users = keys
    user, limit, *after = argv
    if user == b"":
        found, last = page(space, deadlines, space.now + 1, None, limit, after)
        return [OK, found, *last]
    found, last = page(space, users, user, user, limit, after)
    return [OK, living(space, deadlines, found), *last]
