"""Twin of `lua/list.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import OK
from ...base import Reply
from ..keyspace import Keyspace
from .include import sessions_of


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List live sessions of a sandbox, or of a user in it, in this bucket."""
    deadlines, users = keys
    user, limit = argv
    if user != b"":
        return [OK, sessions_of(space, users, deadlines, user)]
    return [OK, space.zrangebyscore(deadlines, space.now + 1, None, limit)]
