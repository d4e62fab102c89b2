"""An overview of a backend's connections, for monitoring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .net.node import NodeStats


@dataclass(frozen=True, slots=True)
class RedisStats:
    """The state of a backend's connections in this process.

    Attributes:
        connections: open connections.
        in_flight: calls that have been sent and wait for their reply.
        waiting: calls that wait for the in-flight limit.
        reconnects: how often a lost connection was replaced.
        retries: how often a call was retried.
        last_error: the text of the last error of a connection; None if there was none, or if its node has opened a
            connection since.
        last_error_at: the time of that error, in UTC; None without an error.
        nodes: the figures of each node, per event loop that uses it.

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
    """Add up the figures of all nodes."""
    found = tuple(nodes)
    errors = [(node.last_error_at, node.last_error) for node in found if node.last_error_at is not None]
    last_error_at, last_error = max(errors, key=lambda error: error[0], default=(None, None))
    return RedisStats(
        connections=sum(node.connections for node in found),
        in_flight=sum(node.in_flight for node in found),
        waiting=sum(node.waiting for node in found),
        reconnects=sum(node.reconnects for node in found),
        retries=retries,
        last_error=last_error,
        nodes=found,
        last_error_at=last_error_at,
    )
