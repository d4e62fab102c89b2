"""Twin of `lua/letters.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace, text
from .include import page


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List a page of an endpoint's dead letters, oldest first; write nothing."""
    messages, dead = keys
    ids, last = page(space, dead, 0, None, argv[0], argv[1:])
    found: list[bytes] = []
    for message in ids:
        found += message, text(space.hash(messages).get(message, b"")), b"%d" % (space.zscore(dead, message) or 0)
    return [OK, found, *last]
