"""An overview of a backend's connections, for monitoring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .net.node import NodeStats


@dataclass(frozen=True, slots=True)
class RedisStats:
    """How the connections of a backend are doing in this process.

    Attributes:
        links: open connections.
        in_flight: calls under way.
        waiting: calls that wait for others to end.
        reconnects: how often a lost connection has been opened again.
        retries: how often a call was tried again.
        last_error: the last thing that went wrong with a connection, as text; None when nothing has, or when a
            connection to that node has been opened since.
        last_error_at: when that was, in UTC; None without an error.
        nodes: the same for each node, and for each event loop that uses it.

    """

    connections: int
    in_flight: int
    waiting: int
    reconnects: int
    retries: int
    last_error: str | None
    nodes: tuple[NodeStats, ...]
    last_error_at: datetime | None = None


def overview(nodes: Iterable[NodeStats], retries: int) -> RedisStats:
    """Add up."""
    found = tuple(nodes)
    errors = [(node.last_error_at, node.last_error) for node in found if node.last_error_at is not None]
    last_error_at, last_error = max(errors, key=lambda error: error[0], default=(None, None))
    return RedisStats(
        sum(node.connections for node in found),
        sum(node.in_flight for node in found),
        sum(node.waiting for node in found),
        sum(node.reconnects for node in found),
        retries,
        last_error,
        found,
        last_error_at,
    )
