"""Twin of the command of `endpoints`: HGETALL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Return the descriptions of all endpoints; write nothing."""
    return [OK, space.hgetall(keys[0])]
