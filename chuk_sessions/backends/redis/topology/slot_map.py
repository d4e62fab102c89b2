"""What a cluster says about itself: CLUSTER SLOTS, and the redirections in error replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..options import Address

_REDIRECTION = re.compile(r"\b(?:MOVED|ASK) (\d+) (\S*):(\d+)")
_UNKNOWN = (None, b"", b"?")


class SlotRange(NamedTuple):
    """Slots in a row, and who has them.

    Attributes:
        first: slot.
        last: slot, included.
        primary: who serves them.
        replicas: who follow it.

    """

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]

    def at(self, reached_at: Callable[[Address], Address]) -> SlotRange:
        """Return the same with the addresses by which this process reaches the nodes."""
        replicas = tuple(reached_at(replica) for replica in self.replicas)
        return SlotRange(self.first, self.last, reached_at(self.primary), replicas)


class Redirection(NamedTuple):
    """Where a slot is said to be."""

    slot: int
    address: Address


def slot_ranges(reply: Sequence[Any], asked: Address) -> list[SlotRange]:
    """What CLUSTER SLOTS says, by the node at `asked`: a node that does not know its own address means that one."""
    return [_share(row, asked) for row in reply if len(row) > 2]


def redirection(message: str, asked: Address) -> Redirection | None:
    """What MOVED or ASK says; without a host it means the one that was asked. IPv6 addresses come without brackets."""
    match = _REDIRECTION.search(message)
    if match is None:
        return None
    host = asked.host if match[2] in ("", "?") else match[2].strip("[]")
    return Redirection(int(match[1]), Address(host, int(match[3])))


def _share(row: Sequence[Any], asked: Address) -> SlotRange:
    primary, *replicas = _addresses(row[2:], asked)
    return SlotRange(int(row[0]), int(row[1]), primary, tuple(replicas))


def _addresses(nodes: Sequence[Sequence[Any]], asked: Address) -> Iterator[Address]:
    for node in nodes:
        host = node[0] if node[0] not in _UNKNOWN else _other_name(node)
        yield Address(host.decode() if host else asked.host, int(node[1]))


def _other_name(node: Sequence[Any]) -> bytes | None:
    """From Redis 7 on there are more names behind the id: a list of pairs, or a map where there is RESP3."""
    more: Any = node[3] if len(node) > 3 else ()
    names = more if isinstance(more, dict) else dict(zip(more[::2], more[1::2], strict=False))
    name = names.get(b"ip") or names.get(b"hostname")
    return None if name in _UNKNOWN else name
