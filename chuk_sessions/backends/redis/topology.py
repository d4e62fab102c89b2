"""Which node a call goes to, and what an error reply says about that: one small protocol, and its simplest case."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from ...exceptions import ProviderError
from .node import Node, ReplyError
from .options import Address, Options


class Next(Enum):
    """What becomes of a call that got an error reply."""

    NOW = "try again at once"
    PAUSE = "try again after a pause"
    GIVE_UP = "raise the error"


class Verdict(NamedTuple):
    """What becomes of a call that got an error reply, and with what.

    Attributes:
        next: see there.
        node: for NOW, where; None asks for a route again.
        asking: for NOW, whether ASKING goes before the call.
        error: for GIVE_UP, what is raised; None takes what the table of replies has.

    """

    next: Next
    node: Node | None = None
    asking: bool = False
    error: ProviderError | None = None


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
        deadline (a time of the loop's clock).
        """

    def here(self, slot: int | None) -> Node | None:
        """The same where that is known already; None: ask `route`."""

    async def moved(self, error: ReplyError, node: Node) -> Verdict:
        """What becomes of a call that got this error from this node. Asked about the codes that the table of `replies`
        leaves to it: those that may mean that the call belongs elsewhere, or that the node is not ready.
        """

    async def lost(self, node: Node) -> None:
        """A node could not be reached, or a connection to it broke: look again where things are. Does not wait."""

    async def nodes(self, deadline: float) -> Sequence[Node]:
        """All nodes that take writes."""

    def known(self) -> Sequence[Node]:
        """All nodes with connections, without asking anybody: for figures."""

    async def aclose(self) -> None:
        """Close all nodes, after calls under way have had their replies."""

    def abort(self) -> None:
        """Close all nodes at once."""


class Standalone:
    """One server."""

    slotted = False

    def __init__(self, address: Address, options: Options) -> None:
        self.closed = False
        self._node = Node(address, options)

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The one node."""
        return self._node

    def here(self, slot: int | None) -> Node | None:
        """The one node."""
        return self._node

    async def moved(self, error: ReplyError, node: Node) -> Verdict:
        """There is no elsewhere; but a server may become ready, or be made a primary."""
        if error.code in ("MOVED", "ASK"):
            return Verdict(Next.GIVE_UP)
        return Verdict(Next.PAUSE)

    async def lost(self, node: Node) -> None:
        """The node opens its connections again by itself."""

    async def nodes(self, deadline: float) -> Sequence[Node]:
        """The one node."""
        return (self._node,)

    def known(self) -> Sequence[Node]:
        """The one node."""
        return (self._node,)

    async def aclose(self) -> None:
        """Close it in order."""
        self.closed = True
        await self._node.aclose()

    def abort(self) -> None:
        """Close it at once."""
        self.closed = True
        self._node.abort()
