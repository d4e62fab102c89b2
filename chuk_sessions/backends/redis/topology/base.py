"""The protocol that all topologies follow: which node a call goes to, and what an error reply says about that."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from ..net.node import Node
from ..net.resp import ReplyError


class RetryTiming(Enum):
    """When to retry a call that got an error reply."""

    AT_ONCE = "retry at once"
    AFTER_PAUSE = "retry after a pause"
    NEVER = "raise the error"


class RetryDecision(NamedTuple):
    """When and where to retry a call that got an error reply.

    Attributes:
        timing: when to retry the call.
        node: the node for a retry at once; None asks the topology for a route again.
        asking: whether ASKING precedes the call in a retry at once.

    """

    timing: RetryTiming
    node: Node | None = None
    asking: bool = False


class Topology(Protocol):
    """The nodes of a store, as one event loop sees them.

    Attributes:
        slotted: whether routes depend on slots.
        closed: whether `aclose()` or `abort()` was called.

    """

    slotted: bool
    closed: bool

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """Return the node for a slot, or for None any node that takes writes.

        `deadline` is a time of the event loop's clock.

        Raises:
            NotSentError: there was no such node by the deadline.
            CircuitOpenError: there has been none for so long that the circuit is open. Raised without waiting.

        """

    def cached_route(self, slot: int | None) -> Node | None:
        """Return the node for a slot if it is known without a query. For None, call `route`."""

    async def on_error_reply(self, error: ReplyError, node: Node) -> RetryDecision:
        """Decide about a call that got this error from this node.

        Only codes that `error_replies` leaves to the topology come here: the call may belong to another node, or the
        node may not be ready.
        """

    async def on_connection_lost(self, node: Node) -> None:
        """Start a query for the present nodes: a node could not be reached, or lost a connection. Does not wait."""

    def nodes(self) -> Sequence[Node]:
        """Return all nodes in use, without a query."""

    async def aclose(self) -> None:
        """Close all nodes after the calls in flight have received their replies."""

    def abort(self) -> None:
        """Close all nodes at once."""
