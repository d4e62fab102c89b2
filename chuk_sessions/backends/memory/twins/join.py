"""Twin of `lua/join.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Register a process of a reader for the time of a lease, and list all of them; or leave."""
    (members,) = keys
    member, lease = argv
    space.zrem(members, member)
    if lease == 0:
        return [OK, space.now, []]
    space.zadd(members, space.now, member)
    space.zremrangebyscore(members, space.now - lease)
    space.pexpireat(members, space.now + 10 * lease)
    return [OK, space.now, space.zrangewithscores(members, 0)]
