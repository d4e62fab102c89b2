"""Replies of a cluster about itself: CLUSTER SLOTS, and the redirects in error replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..options import Address

_REDIRECT = re.compile(r"\b(?:MOVED|ASK) (\d+) (\S*):(\d+)")
_UNKNOWN_HOSTS = (None, b"", b"?")


class SlotRange(NamedTuple):
    """A range of consecutive slots with the same nodes.

    Attributes:
        first: the first slot.
        last: the last slot, included.
        primary: the node that serves them.
        replicas: the nodes that replicate the primary.

    """

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]

    def remapped(self, remap: Callable[[Address], Address]) -> SlotRange:
        """Return this range with the addresses at which this process reaches the nodes."""
        return self._replace(primary=remap(self.primary), replicas=tuple(map(remap, self.replicas)))


class Redirect(NamedTuple):
    """A slot and the node that a MOVED or ASK reply names for it."""

    slot: int
    address: Address


def slot_ranges(reply: Sequence[Any], queried: Address) -> list[SlotRange]:
    """Return the ranges in a reply to CLUSTER SLOTS. A node without a host is the queried one.

    A node that does not know its own address leaves it out.
    """
    return [_slot_range(row, queried) for row in reply if len(row) > 2]


def parse_redirect(message: str, queried: Address) -> Redirect | None:
    """Return the redirect in the text of a MOVED or ASK reply. Without a host, it names the queried node.

    IPv6 addresses come without brackets.
    """
    match = _REDIRECT.search(message)
    if match is None:
        return None
    host = queried.host if match[2] in ("", "?") else match[2].strip("[]")
    return Redirect(int(match[1]), Address(host, int(match[3])))


def _slot_range(row: Sequence[Any], queried: Address) -> SlotRange:
    primary, *replicas = _addresses(row[2:], queried)
    return SlotRange(int(row[0]), int(row[1]), primary, tuple(replicas))


def _addresses(nodes: Sequence[Sequence[Any]], queried: Address) -> Iterator[Address]:
    for node in nodes:
        host = node[0] if node[0] not in _UNKNOWN_HOSTS else _alternative_host(node)
        yield Address(host.decode() if host else queried.host, int(node[1]))


def _alternative_host(node: Sequence[Any]) -> bytes | None:
    """Return another name of a node. From Redis 7 on, names follow the node's id: a list of pairs, or a RESP3 map."""
    metadata: Any = node[3] if len(node) > 3 else ()
    names = metadata if isinstance(metadata, dict) else dict(zip(metadata[::2], metadata[1::2], strict=False))
    host = names.get(b"ip") or names.get(b"hostname")
    return None if host in _UNKNOWN_HOSTS else host
