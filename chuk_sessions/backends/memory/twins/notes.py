"""Twin of `lua/notes.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Return the time, and the notes about a user's strays; write nothing."""
    return [OK, space.now, space.zrangewithscores(keys[0], 0)]
