"""Twin of the command of `find`: ZRANGEBYSCORE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Return the first handles of a user in this bucket, expired or not; write nothing."""
    lowest, highest, _, _, limit = argv
    return [OK, space.zrangebyscore(keys[0], lowest, highest, limit)]
