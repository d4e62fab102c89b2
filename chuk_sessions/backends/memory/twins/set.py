"""Twin of `lua/set.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....statuses import CORRUPT, OK
from ...base import Reply
from ..keyspace import Fields, Keyspace, pairs
from .include import open_, plain


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Set fields of metadata; the others stay."""
    opened = open_(space, keys[0], b"v")
    if isinstance(opened, list):
        return opened
    version = plain(opened[4])
    if version is None:
        return [CORRUPT]
    fields: Fields = {b"v": version + 1}
    fields.update(pairs(argv))
    space.hset(keys[0], fields)
    return [OK]
