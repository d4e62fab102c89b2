"""Twin of `lua/due.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import OK
from ...base import Reply
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Name the sandboxes that have an ended session to sweep in this bucket."""
    return [OK, space.zrangebyscore(keys[0], 0, space.now, argv[0])]
