"""One address: a server, until a reply says that it is a node of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from .cluster import Cluster
from .node import Node
from .options import Address, Options
from .topology import Next, Verdict
from .wire import ReplyError

_OF_A_CLUSTER = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"})


class Single:
    """Costs a plain server nothing: no question, no permission, no slots. A cluster's node gives itself away with the
    first call that belongs to another; from then on this is that cluster.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self.slotted = False
        self.closed = False
        self._node = Node(address, options, circuit=True)
        self._address = address
        self._options = options
        self._cluster: Cluster | None = None

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The one node, or the slot's."""
        if self._cluster is None:
            return self._node
        return await self._cluster.route(slot, read_only=read_only, deadline=deadline)

    def here(self, slot: int | None) -> Node | None:
        """The one node, or the slot's where that is known."""
        return self._node if self._cluster is None else self._cluster.here(slot)

    async def moved(self, error: ReplyError, node: Node) -> Verdict:
        """Find out that this is a cluster. There is no elsewhere for a single server, but it may become ready, or be
        made a primary.
        """
        if self._cluster is None and not self.closed and error.code in _OF_A_CLUSTER:
            self._cluster = Cluster((self._address,), self._options, (self._node,))
            self.slotted = True
        if self._cluster is None:
            return Verdict(Next.PAUSE)
        return await self._cluster.moved(error, node)

    async def lost(self, node: Node) -> None:
        """Of interest to a cluster only."""
        if self._cluster is not None:
            await self._cluster.lost(node)

    def known(self) -> Sequence[Node]:
        """The one node, or the cluster's."""
        return (self._node,) if self._cluster is None else self._cluster.known()

    async def aclose(self) -> None:
        """Close all in order."""
        self.closed = True
        await (self._node if self._cluster is None else self._cluster).aclose()

    def abort(self) -> None:
        """Close all at once."""
        self.closed = True
        (self._node if self._cluster is None else self._cluster).abort()
