"""Twin of `lua/revoke_grant.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace
from .include import bound_of, measure, open_, parse_int
from .include_grants import grant_expiry, list_grants, open_for_grants

_LARGEST = 9007199254740991


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Revoke one grant of a session, or all of them, even at full memory."""
    key, field = keys[0], argv[0]
    # The id of a grant names the session by the id that it had then.
    opened = open_for_grants(space, key) if field != b"" else open_(space, key, b"z", b"p")
    if isinstance(opened, list):
        return opened
    *_, bound, last, _ = opened
    number, revoked = 1, [field]
    if field == b"":
        live, expired = list_grants(space, key)
        number, revoked = len(live) // 2, [*expired, *live[::2]]
    elif grant_expiry(space.hash(key).get(field)) <= space.now:
        return [GONE]
    if number == 0:
        return [OK, 0]
    size = measure(space, key, bound_of(bound), _LARGEST, (), revoked)
    space.hdel(key, revoked)
    space.hset(key, {b"p": (parse_int(last) or 0) + 1, b"z": int(size)})
    return [OK, number]
