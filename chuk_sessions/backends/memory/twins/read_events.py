"""Twin of the command of `read_events`: XRANGE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Return entries of a stream of events, each its id and its fields; write nothing."""
    first, last, _, limit = argv
    return [OK, space.xrange(keys[0], first, last, limit)]
