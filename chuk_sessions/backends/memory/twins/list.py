"""Twin of `lua/list.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import HALF_MS, filter_live, page


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List a page of the live sessions of a sandbox, or of a user in it, in this bucket; write nothing."""
    deadlines, users = keys
    user, limit, *after = argv
    if user == b"":
        handles, last = page(space, deadlines, space.now + HALF_MS, None, limit, after)
        return [OK, handles, *last]
    handles, last = page(space, users, user, user, limit, after)
    return [OK, filter_live(space, deadlines, handles), *last]
