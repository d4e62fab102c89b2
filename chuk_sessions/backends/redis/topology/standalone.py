"""One address: a server, until a reply says that it is a node of a cluster.

The address can be a name that moves from a demoted primary to its successor: a DNS name, a Kubernetes Service, a proxy.
A demotion drops no clients, so the connections that are open stay with the demoted server. It refuses writes, and it
answers reads with what it knows. So its role is asked every second, on each open connection.

| sign | what is done |
|---|---|
| a former primary says that it is a replica | calls wait until a new connection leads to a primary |
| READONLY, MASTERDOWN from a former primary | likewise; the call is repeated |
| the same from a server that was never seen as a primary | a new connection is used if it leads to another server |
| the user may not run ROLE | nothing; after READONLY or MASTERDOWN, a new connection is used |
| a former primary is now a replica in a cluster | the cluster is asked for its map |

A server that was never seen as a primary goes on serving reads: the URL may be meant for a replica.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address, Options
from .base import Next, Redirect
from .cluster import Cluster
from .roles import Role, role_of, roles_on
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

_OF_A_CLUSTER = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"})
_OF_A_REPLICA = frozenset({"READONLY", "MASTERDOWN"})
_PAUSE = 0.25
"""Seconds between two attempts to find a primary under the same name."""

_PATIENCE = 1.0
"""Seconds for one answer about a role."""

_CALM = 1.0
"""Seconds between two patrols."""

_FIRST = 0.1
"""Seconds to the first one: whether the server is a primary must be known before it can be demoted."""

_FORBIDDEN_FOR = 60.0
"""Seconds without patrols after the server has said that this user may not run ROLE."""


class Single:
    """The topology of one address. A cluster's node gives itself away with the first call that belongs to another; from
    then on this is that cluster.
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
        self._quiet_until = 0.0
        self._refresh = SingleFlight(self._look, _PAUSE, f"a primary at {address}", options.call_timeout)
        self._refresh.patrol(self._patrol, _CALM, _FIRST)
        self._leaving: dict[asyncio.Task[None], Node] = {}

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The one node, or the slot's."""
        if self._usable is None and self._cluster is None:
            await self._refresh.until(self._is_found, deadline)
        if self._cluster is not None:
            return await self._cluster.route(slot, read_only=read_only, deadline=deadline)
        assert self._usable is not None
        return self._usable

    def cached_route(self, slot: int | None) -> Node | None:
        """The one node, or the slot's where that is known."""
        return self._usable if self._cluster is None else self._cluster.cached_route(slot)

    async def on_error_reply(self, error: ReplyError, node: Node) -> Redirect:
        """See the table above. Any other server may become ready, and a call that belongs elsewhere says that this is a
        cluster.
        """
        if self._cluster is None and not self.closed:
            if error.code in _OF_A_CLUSTER:
                self._become_cluster(self._node)
            elif error.code in _OF_A_REPLICA and node is self._node:
                self._is_replica()
        if self._cluster is None:
            return Redirect(Next.PAUSE)
        return await self._cluster.on_error_reply(error, node)

    async def on_connection_lost(self, node: Node) -> None:
        """Of interest to a cluster only."""
        if self._cluster is not None:
            await self._cluster.on_connection_lost(node)

    def nodes(self) -> Sequence[Node]:
        """The one node, or the cluster's."""
        return (self._node,) if self._cluster is None else self._cluster.nodes()

    async def aclose(self) -> None:
        """Close all in order."""
        self.closed = True
        self._refresh.stop()
        await asyncio.gather(*(one.aclose() for one in self._all()), *self._leaving)

    def abort(self) -> None:
        """Close all at once."""
        self.closed = True
        self._refresh.stop()
        for one in self._all():
            one.abort()

    def _all(self) -> list[Node | Cluster]:
        candidates = [] if self._candidate is None else [self._candidate]
        return [*self._leaving.values(), *candidates, self._node if self._cluster is None else self._cluster]

    def _is_found(self) -> bool:
        return self._usable is not None or self._cluster is not None

    async def _patrol(self) -> None:
        """Ask for the role on all open connections: they need not lead to the same server."""
        node, now = self._usable, asyncio.get_running_loop().time()
        if node is None:
            self._refresh.start()
        elif now >= self._quiet_until:
            roles = await roles_on(node.open_connections(), _PATIENCE, now + self._options.call_timeout)
            self._note(roles)
            if Role.REPLICA in roles and self._was_primary and node is self._usable:
                self._is_replica()

    def _note(self, roles: set[Role]) -> None:
        self._was_primary = self._was_primary or Role.PRIMARY in roles
        if Role.REFUSED in roles:
            self._stay_quiet()

    def _stay_quiet(self) -> None:
        if not self._quiet_until:
            logger.info("ROLE is refused at %s: a demotion is noticed when a write is refused", self._address)
        self._quiet_until = asyncio.get_running_loop().time() + _FORBIDDEN_FOR

    def _is_replica(self) -> None:
        """Look for a primary under the same name. Leave the node if it was one, once its calls have their replies."""
        if self._was_primary and self._usable is not None:
            logger.warning("primary demoted: %s is a replica now; looking for a primary under its name", self._address)
            self._usable = None
            self._leave(self._node)
        self._refresh.start()

    async def _look(self) -> None:
        """One round: open a new connection, for which the name is resolved again, and ask its server for the role."""
        candidate = self._candidate = self._node.replacement()
        try:
            role = await role_of(candidate, asyncio.get_running_loop().time() + _PATIENCE)
            clustered = role is Role.REPLICA and await _is_of_a_cluster(candidate)
            if self._cluster is not None:
                return  # a reply to a call has said so meanwhile
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
                self._leave(candidate)

    def _switch_primary(self, candidate: Node, role: Role) -> None:
        if self._usable is None:
            logger.info("primary found: %s takes writes again", self._address)
        else:
            self._leave(self._node)
        self._node = self._usable = candidate
        self._note({role})

    def _become_cluster(self, node: Node) -> None:
        if node is not self._node and self._usable is not None:
            self._leave(self._node)
        self._node = node
        self._cluster = Cluster((self._address,), self._options, () if node.closed else (node,))
        self.slotted = True
        # Not at once: this may be the last step of a round, and those who wait for it would be told that all is closed.
        asyncio.get_running_loop().call_soon(self._refresh.stop)

    def _leave(self, node: Node) -> None:
        task = asyncio.create_task(node.aclose())
        self._leaving[task] = node
        task.add_done_callback(self._leaving.pop)


async def _is_of_a_cluster(node: Node) -> bool:
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    try:
        return bool(await node.call(((b"CLUSTER", b"SLOTS"),), deadline, internal=True))
    except (NotSentError, ReplyLostError, ReplyError):
        return False
