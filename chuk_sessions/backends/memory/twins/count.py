"""Twin of `lua/count.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import OK
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import sessions_of, whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Count live sessions of a sandbox, or of a user in it, in this bucket."""
    deadlines, users = keys
    if argv[0] != b"":
        return [OK, len(sessions_of(space, users, deadlines, whole(argv[0])))]
    return [OK, space.zcount(deadlines, space.now + 1, None)]
