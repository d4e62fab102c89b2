"""A cluster: which node has which slot, kept up to date by what the nodes answer.

| reply | what is done |
|---|---|
| MOVED | the slot is taken to be there; the call goes there at once, and the map is read anew in the background |
| ASK | the call goes there at once, with ASKING before it; the map stays, since the slot has not moved yet |
| TRYAGAIN | the keys are on both sides of a migration: a pause, then the same way again |
| CLUSTERDOWN, READONLY, MASTERDOWN, LOADING | the map is read anew, and the call repeated after a pause |

A lost node has the map read anew, too, and calls for its slots try on: until it is back, or its replica has taken over.
Calls for other slots notice nothing of that.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Sequence

from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address, Options
from .base import Next, Redirect
from .single_flight import SingleFlight
from .slot_map import Redirection, SlotRange, redirection, slot_ranges
from .slots import SLOTS

logger = logging.getLogger(__name__)

_PAUSE = 0.1
_PATIENCE = 1.0
"""Seconds for one node's map."""

_HURRY = 0.2
"""Seconds after which another node is asked beside one that has not answered."""

_FLIP = 0.05
"""A slot that moves again within so many seconds is one that two nodes disagree on."""


class Cluster:
    """The topology of a cluster. Replicas are not read from: they lag behind."""

    slotted = True

    def __init__(self, seeds: Iterable[Address], options: Options, nodes: Iterable[Node] = ()) -> None:
        self.closed = False
        self._seeds = tuple(seeds)
        self._options = options
        self._nodes: dict[Address, Node] = {}
        self._replicas: tuple[Address, ...] = ()
        self._table: list[Node | None] = [None] * SLOTS
        self._primaries: tuple[Node, ...] = ()
        self._flips: dict[int, float] = {}
        shown = ", ".join(map(str, self._seeds))
        self._refresh = SingleFlight(self._look, _PAUSE, f"the cluster at {shown}", options.call_timeout)
        self._leaving: set[asyncio.Task[None]] = set()
        for node in nodes:
            self._add(node)

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The primary of that slot, or any."""
        node = self._owner(slot)
        while node is None:
            await self._refresh.until(lambda: self._owner(slot) is not None, deadline)
            node = self._owner(slot)
        return node

    def cached_route(self, slot: int | None) -> Node | None:
        """The same where that is known already."""
        return self._owner(slot)

    async def on_error_reply(self, error: ReplyError, node: Node) -> Redirect:
        """See the table above."""
        there = redirection(error.message, node.address) if error.code in ("MOVED", "ASK") else None
        if there is None or self.closed:
            if error.code != "TRYAGAIN":
                await self.on_connection_lost(node)
            return Redirect(Next.PAUSE)
        there = there._replace(address=self._options.reached_at(there.address))
        if error.code == "ASK":
            return Redirect(Next.NOW, self._node_at(there.address), asking=True)
        return self._follow(there)

    async def on_connection_lost(self, node: Node) -> None:
        """Read the map anew."""
        self._read_again()

    def nodes(self) -> Sequence[Node]:
        """All nodes that there are connections to."""
        return tuple(self._nodes.values())

    async def aclose(self) -> None:
        """Close all nodes in order."""
        self.closed = True
        self._refresh.stop()
        await asyncio.gather(*(node.aclose() for node in self.nodes()), *self._leaving)

    def abort(self) -> None:
        """Close all nodes at once."""
        self.closed = True
        self._refresh.stop()
        for node in self.nodes():
            node.abort()

    def _owner(self, slot: int | None) -> Node | None:
        if slot is None:
            return random.choice(self._primaries) if self._primaries else None
        return self._table[slot]

    def _node_at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._add(Node(address, self._options, circuit=True))
        return node

    def _add(self, node: Node) -> Node:
        self._nodes[node.address] = node
        # Its replica may take over, whether or not there are calls that would notice.
        node.on_reconnect_attempt = self._read_again
        return node

    def _read_again(self) -> None:
        if not self.closed:
            self._refresh.start()

    def _follow(self, there: Redirection) -> Redirect:
        """A slot has moved. When it does so again in no time, two nodes send each other what neither wants to have:
        they need a moment.
        """
        target, now = self._node_at(there.address), asyncio.get_running_loop().time()
        self._refresh.start()
        if self._table[there.slot] is target:
            return Redirect(Next.NOW, target)
        self._table[there.slot] = target
        soon = now < self._flips.get(there.slot, 0.0) + _FLIP
        self._flips[there.slot] = now
        return Redirect(Next.PAUSE) if soon else Redirect(Next.NOW, target)

    async def _look(self) -> None:
        """One round: read the map from the first node that gives it."""
        failures: list[Exception] = []
        asked: set[asyncio.Task[list[SlotRange]]] = set()
        try:
            for address in self._to_ask():
                asked.add(self._refresh.spawn(self._ask(address)))
                if (found := await _first(asked, failures, _HURRY)) is not None:
                    return self._adopt(found)
            while asked:
                if (found := await _first(asked, failures, None)) is not None:
                    return self._adopt(found)
        finally:
            for task in asked:
                task.cancel()
        raise _complaint(failures)

    def _to_ask(self) -> list[Address]:
        """Nodes with a connection first, in any order, then all that are known of."""
        nodes = random.sample(list(self._nodes.values()), len(self._nodes))
        ordered = sorted(nodes, key=lambda node: not node.connected)
        return list(dict.fromkeys([*(node.address for node in ordered), *self._seeds, *self._replicas]))

    async def _ask(self, address: Address) -> list[SlotRange]:
        found = slot_ranges(await self._node_at(address).query((b"CLUSTER", b"SLOTS"), _PATIENCE), address)
        if not found:
            raise NotSentError(f"{address} knows of no slots")
        return [share.at(self._options.reached_at) for share in found]

    def _adopt(self, found: list[SlotRange]) -> None:
        self._log_failovers(found)
        table: list[Node | None] = [None] * SLOTS
        for share in found:
            table[share.first : share.last + 1] = [self._node_at(share.primary)] * (share.last + 1 - share.first)
        self._table = table
        self._primaries = tuple({share.primary: self._node_at(share.primary) for share in found}.values())
        self._replicas = tuple(replica for share in found for replica in share.replicas)
        self._flips.clear()
        for node in self.nodes():
            if node not in self._primaries and not (node.connected and node.stats().in_flight):
                self._retire(node)

    def _log_failovers(self, found: list[SlotRange]) -> None:
        """Log who has taken over from whom. A slot that moves otherwise does not go to a replica."""
        primaries = {share.primary for share in found}
        old = {share.primary: self._table[share.first] for share in found if share.primary in self._replicas}
        for new, node in old.items():
            if node is not None and node.address not in primaries:
                logger.warning("failover: %s has taken over the slots of %s", new, node.address)

    def _retire(self, node: Node) -> None:
        """Close the connections to a node that has no slots any more."""
        del self._nodes[node.address]
        task = asyncio.create_task(node.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


async def _first(
    asked: set[asyncio.Task[list[SlotRange]]], failures: list[Exception], seconds: float | None
) -> list[SlotRange] | None:
    """The first map to come, if one comes in time. Takes those that have ended out of `asked`."""
    done, _ = await asyncio.wait(asked, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    asked -= done
    found = None
    for task in done:
        try:
            found = task.result()
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            failures.append(failure)
    return found


def _complaint(failures: list[Exception]) -> Exception:
    """Why there is no map. When all nodes refuse (a wrong password), waiting does not help."""
    if failures and all(isinstance(failure, ReplyError) for failure in failures):
        return failures[0]
    return NotSentError(f"no node of the cluster gives its map: {'; '.join(sorted(set(map(str, failures))))}")
