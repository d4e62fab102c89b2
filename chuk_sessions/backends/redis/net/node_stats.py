"""Figures of one node: its connections, the calls in flight, and its last failure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..options import Address
from .connection_slot import ConnectionFailure, ConnectionSlot
from .limiter import InFlightLimiter


class NodeStats(NamedTuple):
    """The current figures of one node.

    Attributes:
        address: the node's address.
        connections: open connections.
        in_flight: calls in flight.
        bytes_in_flight: their packed size.
        waiting: calls that wait because an in-flight limit is reached.
        reconnects: how often a lost connection has been opened again.
        last_error: why the last connection was lost or could not be opened; None since a connection was opened.
        last_error_at: when that happened, in UTC; None without an error.

    """

    address: Address
    connections: int
    in_flight: int
    bytes_in_flight: int
    waiting: int
    reconnects: int
    last_error: str | None
    last_error_at: datetime | None = None


def node_stats(
    address: Address,
    connection_slots: Sequence[ConnectionSlot],
    limiter: InFlightLimiter,
    windows: Iterable[InFlightLimiter],
) -> NodeStats:
    """Return the node's figures. `windows`: its reply windows."""
    failure = _last_failure(connection_slots)
    return NodeStats(
        address,
        sum(connection_slot.is_connected for connection_slot in connection_slots),
        limiter.calls,
        limiter.bytes,
        limiter.waiting + sum(window.waiting for window in windows),
        sum(max(0, connection_slot.connections_opened - 1) for connection_slot in connection_slots),
        None if failure is None else str(failure.reason) or type(failure.reason).__name__,
        None if failure is None else datetime.now(UTC) - timedelta(seconds=time.monotonic() - failure.at),
    )


def _last_failure(connection_slots: Sequence[ConnectionSlot]) -> ConnectionFailure | None:
    """Return the newest failure of any connection slot, unless a connection was opened after it."""
    opened_at = max(connection_slot.opened_at for connection_slot in connection_slots)
    failures = [
        connection_slot.last_failure for connection_slot in connection_slots if connection_slot.last_failure is not None
    ]
    current = [failure for failure in failures if failure.at >= opened_at]
    return max(current, key=lambda failure: failure.at, default=None)
