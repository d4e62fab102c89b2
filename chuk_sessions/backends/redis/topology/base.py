"""Which node a call goes to, and what an error reply says about that: one small protocol."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from ..net.node import Node, ReplyError


class Next(Enum):
    """What becomes of a call that got an error reply."""

    NOW = "try again at once"
    PAUSE = "try again after a pause"
    GIVE_UP = "raise the error"


class Redirect(NamedTuple):
    """What becomes of a call that got an error reply, and with what.

    Attributes:
        next: see there.
        node: for NOW, where; None asks for a route again.
        asking: for NOW, whether ASKING goes before the call.

    """

    next: Next
    node: Node | None = None
    asking: bool = False


class Topology(Protocol):
    """The nodes of a store, as one event loop sees them.

    Attributes:
        slotted: whether `route` wants to know slots.
        closed: whether `aclose()` or `abort()` was called.

    """

    slotted: bool
    closed: bool

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The node for a slot; None is any node that takes writes. Raises NotSentError when there is none by the
        deadline (a time of the loop's clock), and CircuitOpenError at once in an old outage.
        """

    def cached_route(self, slot: int | None) -> Node | None:
        """The same where that is known already; None: ask `route`."""

    async def on_error_reply(self, error: ReplyError, node: Node) -> Redirect:
        """What becomes of a call that got this error from this node. Asked about the codes that the table of `replies`
        leaves to it: those that may mean that the call belongs elsewhere, or that the node is not ready.
        """

    async def on_connection_lost(self, node: Node) -> None:
        """A node could not be reached, or a connection to it broke: look again where things are. Does not wait."""

    def nodes(self) -> Sequence[Node]:
        """All nodes with connections, without asking anybody: for figures."""

    async def aclose(self) -> None:
        """Close all nodes, after calls under way have had their replies."""

    def abort(self) -> None:
        """Close all nodes at once."""
