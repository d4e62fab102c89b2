"""One address: a server, until a reply shows that it is a node of a cluster.

The address can be a name that moves from a demoted primary to its successor: a DNS name, a Kubernetes Service, a proxy.
A demotion does not drop clients, so open connections stay with the demoted server. It refuses writes, and answers reads
from its own, possibly stale, data. So each open connection is polled for the server's role every second.

| sign | what is done |
|---|---|
| a former primary reports that it is a replica | calls wait until a new connection leads to a primary |
| READONLY, MASTERDOWN from a former primary | the same; the call is retried |
| READONLY, MASTERDOWN from a server never seen as a primary | a new connection is used if it leads to another server |
| the user may not run ROLE | nothing; after READONLY or MASTERDOWN, a new connection is used |
| a former primary is now a replica in a cluster | the cluster is queried for its map |

A server that was never seen as a primary keeps serving reads: the URL may be meant for a replica.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address, Options
from .base import RetryDecision, RetryTiming
from .cluster import Cluster
from .poller import Poller
from .roles import Role, role_of, roles_on
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

_CLUSTER_CODES = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"})
_REPLICA_CODES = frozenset({"READONLY", "MASTERDOWN"})
_REFRESH_INTERVAL = 0.25
"""Seconds between the starts of two searches for a primary under the same name, at least."""

_QUERY_TIMEOUT = 1.0
"""Seconds for one reply about a role."""

_POLL_INTERVAL = 1.0
"""Seconds between two polls."""

_FIRST_POLL_AFTER = 0.1
"""Seconds until the first poll: a demotion is only noticed if the server was known to be a primary before."""

_REFUSED_POLL_DELAY = 60.0
"""Seconds without polls after the server has refused ROLE to this user."""


class Standalone:
    """The topology of one address.

    A node of a cluster reveals itself with the first call for a slot of another node. From then on, this topology
    delegates to a cluster.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self.slotted = False
        self.closed = False
        self._node = Node(address, options, circuit=True)
        self._usable: Node | None = self._node
        self._candidate: Node | None = None
        self._address = address
        self._options = options
        self._cluster: Cluster | None = None
        self._was_primary = False
        self._next_poll_at = 0.0
        self._refresh = SingleFlight(
            self._find_primary, _REFRESH_INTERVAL, f"a primary at {address}", options.call_timeout
        )
        self._poller = Poller(self._poll_roles, _POLL_INTERVAL)
        self._poller.start(_FIRST_POLL_AFTER)
        self._closing: dict[asyncio.Task[None], Node] = {}

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """Return the one node, or in a cluster the slot's node. See `Topology.route`."""
        if self._usable is None and self._cluster is None:
            await self._refresh.wait_until(self._is_usable, deadline)
        if self._cluster is not None:
            return await self._cluster.route(slot, read_only=read_only, deadline=deadline)
        assert self._usable is not None
        return self._usable

    def cached_route(self, slot: int | None) -> Node | None:
        """Return the one node, or in a cluster the slot's node if the map has it."""
        return self._usable if self._cluster is None else self._cluster.cached_route(slot)

    async def on_error_reply(self, error: ReplyError, node: Node) -> RetryDecision:
        """Decide by the table above.

        A call that belongs to another node shows that this is a cluster. After other errors, the server may become
        ready.
        """
        if self._cluster is None and not self.closed:
            if error.code in _CLUSTER_CODES:
                self._become_cluster(self._node)
            elif error.code in _REPLICA_CODES and node is self._node:
                self._on_replica()
        if self._cluster is None:
            return RetryDecision(RetryTiming.AFTER_PAUSE)
        return await self._cluster.on_error_reply(error, node)

    async def on_connection_lost(self, node: Node) -> None:
        """Tell the cluster, if there is one. The one node reconnects without help."""
        if self._cluster is not None:
            await self._cluster.on_connection_lost(node)

    def nodes(self) -> Sequence[Node]:
        """Return the one node, or the nodes of the cluster."""
        return (self._node,) if self._cluster is None else self._cluster.nodes()

    async def aclose(self) -> None:
        """Close all nodes after the calls in flight have received their replies."""
        self.closed = True
        self._stop()
        await asyncio.gather(*(each.aclose() for each in self._all()), *self._closing)

    def abort(self) -> None:
        """Close all nodes at once."""
        self.closed = True
        self._stop()
        for each in self._all():
            each.abort()

    def _stop(self) -> None:
        self._refresh.stop()
        self._poller.stop()

    def _all(self) -> list[Node | Cluster]:
        candidates = [] if self._candidate is None else [self._candidate]
        return [*self._closing.values(), *candidates, self._node if self._cluster is None else self._cluster]

    def _is_usable(self) -> bool:
        return self._usable is not None or self._cluster is not None

    async def _poll_roles(self) -> None:
        """Query the role on all open connections: they may lead to different servers."""
        node, now = self._usable, asyncio.get_running_loop().time()
        if node is None:
            self._refresh.start()
        elif now >= self._next_poll_at:
            roles = await roles_on(node.open_connections(), _QUERY_TIMEOUT, now + self._options.call_timeout)
            self._record(roles)
            if Role.REPLICA in roles and self._was_primary and node is self._usable:
                self._on_replica()

    def _record(self, roles: set[Role]) -> None:
        self._was_primary = self._was_primary or Role.PRIMARY in roles
        if Role.REFUSED in roles:
            self._suspend_polls()

    def _suspend_polls(self) -> None:
        if not self._next_poll_at:
            logger.info("ROLE is refused at %s: a demotion is noticed when a write is refused", self._address)
        self._next_poll_at = asyncio.get_running_loop().time() + _REFUSED_POLL_DELAY

    def _on_replica(self) -> None:
        """Start a search for a primary under the same name. Stop using the node if it was a primary."""
        if self._was_primary and self._usable is not None:
            logger.warning("primary demoted: %s is a replica now; looking for a primary under its name", self._address)
            self._usable = None
            self._close_in_background(self._node)
        self._refresh.start()

    async def _find_primary(self) -> None:
        """Open a new connection, which resolves the name again, and query its server's role."""
        candidate = self._candidate = self._node.replacement()
        try:
            role = await role_of(candidate, asyncio.get_running_loop().time() + _QUERY_TIMEOUT)
            clustered = role is Role.REPLICA and await _is_in_cluster(candidate)
            if self._cluster is not None:
                return  # meanwhile, a reply to a call has shown that this is a cluster
            if clustered:
                self._become_cluster(candidate)
            elif role is Role.REPLICA:
                raise NotSentError(f"the server at {self._address} is a replica and takes no writes")
            else:
                self._switch_primary(candidate, role)
        finally:
            self._candidate = None
            if candidate is not self._node:
                candidate.abort()
                self._close_in_background(candidate)

    def _switch_primary(self, candidate: Node, role: Role) -> None:
        if self._usable is None:
            logger.info("primary found: %s takes writes again", self._address)
        else:
            self._close_in_background(self._node)
        self._node = self._usable = candidate
        self._record({role})

    def _become_cluster(self, node: Node) -> None:
        if node is not self._node and self._usable is not None:
            self._close_in_background(self._node)
        self._node = node
        self._cluster = Cluster((self._address,), self._options, () if node.closed else (node,))
        self.slotted = True
        # Not now: this may be the last step of a refresh, whose callers would be told that the topology is closed.
        asyncio.get_running_loop().call_soon(self._stop)

    def _close_in_background(self, node: Node) -> None:
        """Close a node after its calls in flight have received their replies."""
        task = asyncio.create_task(node.aclose())
        self._closing[task] = node
        task.add_done_callback(self._closing.pop)


async def _is_in_cluster(node: Node) -> bool:
    deadline = asyncio.get_running_loop().time() + _QUERY_TIMEOUT
    try:
        return bool(await node.call(((b"CLUSTER", b"SLOTS"),), deadline, internal=True))
    except (NotSentError, ReplyLostError, ReplyError):
        return False
