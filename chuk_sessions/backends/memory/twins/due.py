"""Twin of `lua/due.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from ....statuses import OK
from ...base import Arg, Reply
from ..keyspace import Keyspace
from .include import whole


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Arg]) -> Reply:
    """Name the sandboxes that have an ended session to sweep in this bucket."""
    return [OK, space.zrangebyscore(keys[0], 0, space.now, whole(argv[0]))]
