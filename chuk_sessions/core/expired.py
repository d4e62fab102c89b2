"""Expired sessions, as `allocate` and `sweep` list them, and their removal. Events of expired sessions hook in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import index_operations
from .keys import IndexKeys
from .operation import Call, Reply


class Expired(NamedTuple):
    """Handles of expired sessions.

    Attributes:
        silent: sessions that emit no events. One call removes all of them.
        marked: sessions that emit events, each in the call that removes it.

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

    As long as no operation writes events, it removes the marked sessions, too.
    """
    return index_operations.sweep(index, sandbox_id, [*expired.silent, *expired.marked])
