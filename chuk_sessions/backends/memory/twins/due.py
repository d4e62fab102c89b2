"""Twin of `lua/due.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import page


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List a page of the sandboxes that have an expired session to sweep in this bucket; write nothing."""
    names, last = page(space, keys[0], 0, space.now, argv[0], argv[1:])
    return [OK, names, *last]
