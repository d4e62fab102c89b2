"""Twin of `lua/sweep.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import list_expired, remove_sessions


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Remove expired sessions of a sandbox in this bucket, list those to remove next, and note when the first one
    expires.
    """
    deadlines, users, sandboxes, events = keys[:4]
    sandbox, limit = argv[:2]
    listed = zip(argv[2:], keys[4::2], keys[5::2], strict=True)
    expired = [
        (*session, score, b"")
        for session in listed
        if (score := space.zscore(deadlines, session[0])) is not None and score <= space.now
    ]
    remove_sessions(space, expired, deadlines, users, events, sandbox)
    first = space.zfirst(deadlines)
    if first is not None:
        space.zadd(sandboxes, first[1], sandbox)
    else:
        space.zrem(sandboxes, sandbox)
    return [OK, len(expired), *list_expired(space, deadlines, limit)]
