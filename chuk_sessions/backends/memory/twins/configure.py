"""Twin of `lua/configure.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import MISMATCH, OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Replace the description of an endpoint if it is the expected one; or remove the endpoint with its queue."""
    endpoints, *queue = keys
    endpoint, expected, text = argv
    present = space.hash(endpoints).get(endpoint, b"")
    if present == text:
        return [OK]
    if present != expected:
        return [MISMATCH, [endpoint]]
    if text:
        space.hset(endpoints, {endpoint: text})
        return [OK]
    for key in queue:
        space.delete(key)
    space.hdel_or_delete(endpoints, [endpoint])
    return [OK]
