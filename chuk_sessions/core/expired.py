"""Expired sessions, as `allocate` and `sweep` list them, and their removal, which writes the events of their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import index_operations
from .keys import IndexKeys
from .operation import Call, Reply


class Expired(NamedTuple):
    """Handles of expired sessions.

    Attributes:
        silent: sessions that emit no events.
        marked: sessions that emit events. The call that removes one writes the event of its end.

    """

    silent: Sequence[bytes] = ()
    marked: Sequence[bytes] = ()

    def __bool__(self) -> bool:
        return bool(self.silent or self.marked)


def listed(reply: Reply) -> Expired:
    """Return the expired sessions that a reply lists, in its last two elements."""
    return Expired(*reply[-2:])


def removal(index: IndexKeys, sandbox_id: str, expired: Expired) -> Call:
    """Return the call that removes expired sessions, and lists more.

    It declares the record of each, so that the event of its end can tell its owner, and whether it was idle.
    """
    return index_operations.sweep(index, sandbox_id, [*expired.silent, *expired.marked])
