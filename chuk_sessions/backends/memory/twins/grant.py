"""Twin of `lua/grant.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import CEILING, GONE, OK, TOO_LARGE
from ..keyspace import Keyspace
from .include import applied, bound_of, expire_with_last, measure, open_, parse_int, remember
from .include_grants import grant_expiry, list_grants


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Store a grant. This is neither an access nor a change of the version."""
    key, operations = keys
    field, ttl, described, most, limit, operation, window = argv
    opened = open_(space, key, b"z", b"p", field)
    if isinstance(opened, list):
        return opened
    _, deadline, _, _, bound, last, stored = opened
    if applied(space, operations, operation):
        expiry = grant_expiry(stored)
        return [OK, expiry, space.now] if expiry > space.now else [GONE]
    expiry = min(space.now + ttl, deadline) // 1000 * 1000
    if expiry <= space.now:
        return [GONE]
    live, expired = list_grants(space, key)
    if len(live) // 2 >= most:
        return [CEILING, len(live) // 2]
    value = b"%d " % expiry + described
    size = measure(space, key, bound_of(bound), limit, (field, value), expired)
    if size > limit:
        return [TOO_LARGE, size]
    changes = max((parse_int(last) or 0) + 1, expiry)
    space.hset(key, {field: value, b"p": changes, b"z": int(size)})
    space.hdel(key, expired)
    remember(space, operations, operation, window)
    expire_with_last(space, operations)
    return [OK, expiry, space.now]
