"""Twin of `lua/check_grant.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.operation import Reply
from ....core.statuses import GONE, OK
from ..keyspace import Keyspace, text
from .include_grants import grant_expiry, open_for_grants


def run(space: Keyspace, keys: Sequence[str], argv: Sequence[Any]) -> Reply:
    """Check that a grant counts: its session is alive, and nobody has revoked it. Write nothing."""
    key, (field, expiry) = keys[0], argv
    opened = open_for_grants(space, key)
    if isinstance(opened, list):
        return opened
    record = space.hash(key)
    if expiry <= space.now or grant_expiry(record.get(field)) <= space.now:
        return [GONE]
    owner = [part for name in (b"u", b"h", b"s") if name in record for part in (name, text(record[name]))]
    return [OK, opened[1], owner]
