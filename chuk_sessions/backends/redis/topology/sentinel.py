"""A primary that sentinels monitor: which server it is, and whether it still is the primary.

All sentinels are queried at once. The winner of their vote is then queried for its ROLE, since a sentinel can lag
behind. Then the sentinels vote again, since a former primary that comes back reports itself as one until it is
demoted. This happens whenever the connection to the primary is lost, not only when a call fails: a demoted primary
drops its clients, and would then answer reads as a replica, from stale data.

A primary that is cut off from sentinels and replicas, but not from this process, drops no clients. So the sentinels are
also polled every second. Their message +switch-master would come sooner, but can get lost without a sign.

| reply | what is done |
|---|---|
| READONLY, MASTERDOWN | the server is a replica now: a refresh starts; the call is retried on the new primary |
| LOADING | the primary has restarted: a refresh starts, since the sentinels may prefer another server |
| TRYAGAIN, CLUSTERDOWN | the call is retried after a pause |
| MOVED, ASK | not supported: sentinels do not monitor a cluster |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address
from ..url import StoreURL
from .background import BackgroundTasks
from .base import RetryDecision, RetryTiming
from .poller import Poller
from .sentinel_votes import QUERY_TIMEOUT, Sentinels, winners
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

_REFRESH_INTERVAL = 0.05
"""Seconds between the starts of two refreshes, at least."""

_POLL_INTERVAL = 1.0
"""Seconds between two polls."""

_NOT_READY_CODES = frozenset({"LOADING", "BUSY", "MASTERDOWN"})


class Sentinel:
    """The topology of one primary that sentinels monitor. Calls never read from replicas: their data may be stale."""

    slotted = False

    def __init__(self, url: StoreURL) -> None:
        self.closed = False
        self._url = url
        self._primary: Node | None = None
        self._confirmed = False
        self._candidates: dict[Address, Node] = {}
        self._sentinels = Sentinels(url)
        subject = f"the primary {url.master}"
        self._refresh = SingleFlight(self._find_primary, _REFRESH_INTERVAL, subject, url.options.call_timeout)
        self._poller = Poller(self._poll_sentinels, _POLL_INTERVAL)
        self._closing = BackgroundTasks()

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """Return the primary. See `Topology.route`."""
        node = self.cached_route(slot)
        if node is None:
            await self._refresh.wait_until(self._is_usable, deadline)
            node = self._primary
            assert node is not None
        return node

    def cached_route(self, slot: int | None) -> Node | None:
        """Return the primary, unless its role is in doubt."""
        node = self._primary
        return node if node is not None and self._confirmed and node.connected else None

    async def on_error_reply(self, error: ReplyError, node: Node) -> RetryDecision:
        """Decide by the table above."""
        if error.code in ("MOVED", "ASK"):
            return RetryDecision(RetryTiming.NEVER)
        if error.code in ("READONLY", "MASTERDOWN") and node is self._primary and self._confirmed:
            logger.warning("primary demoted: %s is a replica now; asking the sentinels", node.address)
        if error.code not in ("TRYAGAIN", "CLUSTERDOWN"):
            await self.on_connection_lost(node)
        return RetryDecision(RetryTiming.AFTER_PAUSE)

    async def on_connection_lost(self, node: Node) -> None:
        """Start a refresh if the node is the primary."""
        if node is self._primary and not self.closed:
            self._confirmed = False
            node.flush_tracked()
            self._refresh.start()

    def nodes(self) -> Sequence[Node]:
        """Return the primary, if it is known."""
        return () if self._primary is None else (self._primary,)

    async def aclose(self) -> None:
        """Close the primary after the calls in flight have received their replies, and the connections to sentinels."""
        self._stop()
        nodes = [*self._candidates.values(), *self.nodes()]
        await asyncio.gather(self._sentinels.aclose(), *(node.aclose() for node in nodes), self._closing.wait())

    def abort(self) -> None:
        """Close all connections at once."""
        self._stop()
        self._sentinels.abort()
        for node in [*self._candidates.values(), *self.nodes()]:
            node.abort()

    def _stop(self) -> None:
        self.closed = True
        self._refresh.stop()
        self._poller.stop()
        self._sentinels.stop()

    def _is_usable(self) -> bool:
        return self.cached_route(None) is not None

    async def _find_primary(self) -> None:
        """Take a vote, query the winner's role, and take a second vote.

        A server that was suspended during a failover does not know that another one was promoted, and still reports
        itself as the primary.
        """
        nominated = await self._sentinels.nominated()
        for address in nominated:
            node = self._node_at(address)
            is_primary = await _is_primary(node)
            if is_primary and address in await self._sentinels.nominated():
                self._switch_primary(node)
                return
            if is_primary is not None or not self._is_in_use(node):
                # A new node connects at once in the next refresh, without the reconnection pause of this one.
                self._discard(node)
        names = " and ".join(map(str, nominated))
        raise NotSentError(f"{names}, as the sentinels say, is not a primary that answers")

    async def _poll_sentinels(self) -> None:
        """Check that the sentinels still name the primary in use.

        A vote for another server only starts a search: calls go to the present primary until the search succeeds. But
        if most of all sentinels agree, calls wait for the search.
        """
        node = self._primary
        if node is not None and self._is_usable():
            with suppress(NotSentError, ReplyError):
                votes = await self._sentinels.votes()
                if self._sentinels.are_against(node.address, votes):
                    await self.on_connection_lost(node)
                elif node.address not in winners(votes):
                    self._refresh.start()

    def _is_in_use(self, node: Node) -> bool:
        """Return whether calls may use the node: it stays then, even if its role does not come in time."""
        return node is self._primary and node.connected

    def _node_at(self, address: Address) -> Node:
        if self._primary is not None and self._primary.address == address and not self._primary.closed:
            return self._primary
        if address not in self._candidates:
            self._candidates[address] = Node(address, self._url.options)
        return self._candidates[address]

    def _switch_primary(self, node: Node) -> None:
        self._candidates.pop(node.address, None)
        former, self._primary, self._confirmed = self._primary, node, True
        if former is None:
            self._poller.start()
        elif former.address != node.address:
            logger.warning("failover: the primary %s is %s now, not %s", self._url.master, node.address, former.address)
        # Later replies of a former primary do not count: it will lose every write that its successor does not have.
        for other in [*self._candidates.values(), *([former] if former is not None and former is not node else [])]:
            self._discard(other)

    def _discard(self, node: Node) -> None:
        """Close a node at once: it is not a primary, or cannot be reached."""
        self._candidates.pop(node.address, None)
        node.abort()
        self._closing.spawn(node.aclose())


async def _is_primary(node: Node) -> bool | None:
    """Return whether a server reports that it is a primary; None if it does not reply."""
    try:
        role = await node.query((b"ROLE",), QUERY_TIMEOUT)
    except (NotSentError, ReplyLostError):
        return None
    except ReplyError as refused:
        # A user that may not run ROLE has to trust the sentinels.
        if refused.code == "NOPERM":
            return True
        if refused.code in _NOT_READY_CODES:
            return False
        raise
    return bool(role[0] == b"master")
