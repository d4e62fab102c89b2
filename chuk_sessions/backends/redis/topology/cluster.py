"""A cluster: a map of its slots, kept up to date by the nodes' replies.

| reply | what is done |
|---|---|
| MOVED | the map has the slot at the named node; the call goes there at once, and a refresh starts in the background |
| ASK | the call goes to the named node at once, after ASKING; the map stays, since the slot has not moved yet |
| TRYAGAIN | the keys are on both sides of a migration: the call is retried after a pause, on the same node |
| CLUSTERDOWN, READONLY, MASTERDOWN, LOADING | a refresh starts, and the call is retried after a pause |

The loss of a node starts a refresh, too. Calls for its slots are retried until it is back, or its replica has taken
over. Calls for other slots are not affected.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Sequence

from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address, Options
from .background import BackgroundTasks
from .base import RetryDecision, RetryTiming
from .single_flight import SingleFlight
from .slot_map import Redirect, SlotRange, parse_redirect, slot_ranges
from .slots import SLOTS

logger = logging.getLogger(__name__)

_REFRESH_INTERVAL = 0.1
"""Seconds between the starts of two refreshes, at least."""

_QUERY_TIMEOUT = 1.0
"""Seconds for one node's map."""

_HEDGE_DELAY = 0.2
"""Seconds until a further node is queried, while the earlier ones have not replied."""

_DISPUTE_WINDOW = 0.05
"""Seconds within which a second move of a slot means that two nodes disagree about it."""


class Cluster:
    """The topology of a cluster. Calls never read from replicas: their data may be stale."""

    slotted = True

    def __init__(self, seeds: Iterable[Address], options: Options, nodes: Iterable[Node] = ()) -> None:
        self.closed = False
        self._seeds = tuple(seeds)
        self._options = options
        self._nodes: dict[Address, Node] = {}
        self._replicas: tuple[Address, ...] = ()
        self._slots: list[Node | None] = [None] * SLOTS
        self._primaries: tuple[Node, ...] = ()
        self._moved_at: dict[int, float] = {}
        subject = f"the cluster at {', '.join(map(str, self._seeds))}"
        self._refresh = SingleFlight(self._refresh_map, _REFRESH_INTERVAL, subject, options.call_timeout)
        self._queries = BackgroundTasks()
        self._closing = BackgroundTasks()
        for node in nodes:
            self._add(node)

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """Return the primary of a slot, or for None any primary. See `Topology.route`."""
        node = self.cached_route(slot)
        while node is None:
            await self._refresh.wait_until(lambda: self.cached_route(slot) is not None, deadline)
            node = self.cached_route(slot)
        return node

    def cached_route(self, slot: int | None) -> Node | None:
        """Return the primary of a slot, or for None any primary, if the map has it."""
        if slot is None:
            return random.choice(self._primaries) if self._primaries else None
        return self._slots[slot]

    async def on_error_reply(self, error: ReplyError, node: Node) -> RetryDecision:
        """Decide by the table above."""
        redirect = parse_redirect(error.message, node.address) if error.code in ("MOVED", "ASK") else None
        if redirect is None or self.closed:
            if error.code != "TRYAGAIN":
                await self.on_connection_lost(node)
            return RetryDecision(RetryTiming.AFTER_PAUSE)
        redirect = redirect._replace(address=self._options.remapped(redirect.address))
        if error.code == "ASK":
            return RetryDecision(RetryTiming.AT_ONCE, self._node_at(redirect.address), asking=True)
        return self._on_moved(redirect)

    async def on_connection_lost(self, node: Node) -> None:
        """Start a refresh of the map."""
        self._start_refresh()

    def nodes(self) -> Sequence[Node]:
        """Return all nodes with connections."""
        return tuple(self._nodes.values())

    async def aclose(self) -> None:
        """Close all nodes after the calls in flight have received their replies."""
        self._stop()
        await asyncio.gather(*(node.aclose() for node in self.nodes()), self._closing.wait())

    def abort(self) -> None:
        """Close all nodes at once."""
        self._stop()
        for node in self.nodes():
            node.abort()

    def _stop(self) -> None:
        self.closed = True
        self._refresh.stop()
        self._queries.cancel()

    def _node_at(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._add(Node(address, self._options, circuit=True))
        return node

    def _add(self, node: Node) -> Node:
        self._nodes[node.address] = node
        # Its replica may take over, whether or not there are calls that would notice.
        node.on_reconnect_attempt = self._start_refresh
        return node

    def _start_refresh(self) -> None:
        if not self.closed:
            self._refresh.start()

    def _on_moved(self, redirect: Redirect) -> RetryDecision:
        """Follow a MOVED. If the slot moves again within a short time, two nodes redirect to each other: pause."""
        node, now = self._node_at(redirect.address), asyncio.get_running_loop().time()
        self._refresh.start()
        if self._slots[redirect.slot] is node:
            return RetryDecision(RetryTiming.AT_ONCE, node)
        if (former := self._slots[redirect.slot]) is not None:
            former.flush_tracked()
        self._slots[redirect.slot] = node
        disputed = now < self._moved_at.get(redirect.slot, 0.0) + _DISPUTE_WINDOW
        self._moved_at[redirect.slot] = now
        return RetryDecision(RetryTiming.AFTER_PAUSE) if disputed else RetryDecision(RetryTiming.AT_ONCE, node)

    async def _refresh_map(self) -> None:
        """Read the map from the first node that returns it. Hedge: query a further node after each short delay."""
        failures: list[Exception] = []
        pending: set[asyncio.Task[list[SlotRange]]] = set()
        try:
            for address in self._addresses_to_query():
                pending.add(self._queries.spawn(self._query(address)))
                if (ranges := await _first_result(pending, failures, _HEDGE_DELAY)) is not None:
                    return self._use(ranges)
            while pending:
                if (ranges := await _first_result(pending, failures, None)) is not None:
                    return self._use(ranges)
        finally:
            for task in pending:
                task.cancel()
        raise _error_for(failures)

    def _addresses_to_query(self) -> list[Address]:
        """Return all known addresses: nodes with a connection first, in random order, then the other ones."""
        nodes = random.sample(list(self._nodes.values()), len(self._nodes))
        ordered = sorted(nodes, key=lambda node: not node.connected)
        return list(dict.fromkeys([*(node.address for node in ordered), *self._seeds, *self._replicas]))

    async def _query(self, address: Address) -> list[SlotRange]:
        reply = await self._node_at(address).query((b"CLUSTER", b"SLOTS"), _QUERY_TIMEOUT)
        ranges = slot_ranges(reply, address)
        if not ranges:
            raise NotSentError(f"{address} knows of no slots")
        return [slot_range.remapped(self._options.remapped) for slot_range in ranges]

    def _use(self, ranges: list[SlotRange]) -> None:
        """Replace the map, and close the nodes that no longer have slots."""
        self._log_failovers(ranges)
        slots: list[Node | None] = [None] * SLOTS
        for first, last, primary, _ in ranges:
            slots[first : last + 1] = [self._node_at(primary)] * (last + 1 - first)
        if self._slots != slots:
            moved = [old for old, new in zip(self._slots, slots, strict=True) if old is not new]
            for former in {node for node in moved if node is not None}:
                former.flush_tracked()
        self._slots = slots
        self._primaries = tuple({each.primary: self._node_at(each.primary) for each in ranges}.values())
        self._replicas = tuple(replica for each in ranges for replica in each.replicas)
        self._moved_at.clear()
        for node in self.nodes():
            if node not in self._primaries and not (node.connected and node.stats().in_flight):
                self._remove(node)

    def _log_failovers(self, ranges: list[SlotRange]) -> None:
        """Log each replica that took over the slots of its primary. Other moves of slots do not go to a replica."""
        primaries = {each.primary for each in ranges}
        former = {each.primary: self._slots[each.first] for each in ranges if each.primary in self._replicas}
        for new, node in former.items():
            if node is not None and node.address not in primaries:
                logger.warning("failover: %s has taken over the slots of %s", new, node.address)

    def _remove(self, node: Node) -> None:
        del self._nodes[node.address]
        self._closing.spawn(node.aclose())


async def _first_result(
    pending: set[asyncio.Task[list[SlotRange]]], failures: list[Exception], seconds: float | None
) -> list[SlotRange] | None:
    """Wait for the first query that is done, and return its map; None if it failed or took too long.

    Removes queries that are done from `pending`, and adds their errors to `failures`.
    """
    done, _ = await asyncio.wait(pending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    pending -= done
    ranges = None
    for task in done:
        try:
            ranges = task.result()
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            failures.append(failure)
    return ranges


def _error_for(failures: list[Exception]) -> Exception:
    """Return the error of a refresh without a result. If all nodes refuse (a wrong password), waiting does not help."""
    if failures and all(isinstance(failure, ReplyError) for failure in failures):
        return failures[0]
    return NotSentError(f"no node of the cluster returns its map: {'; '.join(sorted(set(map(str, failures))))}")
