"""Twin of `lua/grants.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import OK
from ..keyspace import Keyspace
from .include import open_
from .include_grants import list_grants


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """List the grants of a session that count; write nothing."""
    opened = open_(space, keys[0])
    return opened if isinstance(opened, list) else [OK, list_grants(space, keys[0])[0]]
