"""The sentinels of a store, and their votes: the address that each of them names as the primary."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ..net.connector import Connector
from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address
from ..url import StoreURL
from .background import BackgroundTasks

QUERY_TIMEOUT = 1.0
"""Seconds for one reply of a sentinel, or of a server about its role."""


class Vote(NamedTuple):
    """A sentinel's answer: the address of the primary, and the epoch of its promotion. Later epochs are newer."""

    address: Address
    epoch: int


class Sentinels:
    """All sentinels of a store, each with a connection that stays open between queries."""

    def __init__(self, url: StoreURL) -> None:
        self._url = url
        connect_timeout = min(QUERY_TIMEOUT, url.sentinel_options.connect_timeout)
        self._options = replace(url.sentinel_options, connect_timeout=connect_timeout)
        self._connectors = [Connector(address, self._options) for address in url.addresses]
        self._nodes: dict[Connector, Node] = {}
        self._queries = BackgroundTasks()
        self._closing = BackgroundTasks()

    async def nominated(self) -> list[Address]:
        """Return the addresses that win the vote: one, or several after a tie."""
        return winners(await self.votes())

    async def votes(self) -> list[Vote]:
        """Query all sentinels, until more than half of them agree or all have answered.

        Raises:
            NotSentError: no sentinel names a primary.
            ReplyError: all of them refuse the query.

        """
        queries = {self._queries.spawn(self._vote_of(connector)) for connector in self._connectors}
        try:
            votes = await _until_majority(queries)
        finally:
            for query in queries:
                query.cancel()
        if not votes:
            raise _error_for(queries, self._url)
        return votes

    def are_against(self, address: Address, votes: Sequence[Vote]) -> bool:
        """Return whether most of all sentinels, not only of those that answered, name another primary."""
        return sum(vote.address != address for vote in votes) > len(self._connectors) // 2

    def stop(self) -> None:
        """Cancel the queries. Does not wait."""
        self._queries.cancel()

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(node.aclose() for node in self._nodes.values()), self._closing.wait())

    def abort(self) -> None:
        """Close the connections at once."""
        for node in self._nodes.values():
            node.abort()

    async def _vote_of(self, connector: Connector) -> Vote:
        """Query one sentinel. Drop its node if it has no connection."""
        node = self._nodes.get(connector)
        if node is None:
            node = self._nodes[connector] = Node(connector.address, self._options, connector)
        try:
            return await self._query(node)
        except (NotSentError, ReplyLostError, ReplyError):
            if not node.connected and self._nodes.get(connector) is node:
                # A new node connects at once, without the reconnection pause of this one.
                del self._nodes[connector]
                node.abort()
                self._closing.spawn(node.aclose())
            raise

    async def _query(self, node: Node) -> Vote:
        # In this order, an address that changes between the queries gets too old an epoch, which decides nothing.
        epoch = await self._epoch(node)
        command = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._url.master)
        reply = await node.query(command, QUERY_TIMEOUT)
        if reply is None:
            raise NotSentError(f"the sentinel at {node.address} knows no {self._url.master!r}")
        address = Address(reply[0].decode(), int(reply[1]))
        return Vote(self._url.options.remapped(address), epoch)

    async def _epoch(self, node: Node) -> int:
        """Return the epoch of the primary's promotion; 0 if this user may not query it, or the name is unknown."""
        try:
            facts = await node.query((b"SENTINEL", b"MASTER", self._url.master), QUERY_TIMEOUT)
        except ReplyError as refused:
            if refused.code in ("NOPERM", "ERR"):
                return 0
            raise
        by_name = facts if isinstance(facts, dict) else dict(zip(facts[::2], facts[1::2], strict=True))
        return int(by_name[b"config-epoch"])


def winners(votes: Sequence[Vote]) -> list[Address]:
    """Return the address with the most votes; of several with as many votes, the one with the latest epoch.

    Several addresses are returned if that does not decide either.
    """
    counts = Counter(vote.address for vote in votes)
    by_epoch = sorted(votes, key=lambda vote: vote.epoch)
    ranks = {vote.address: (counts[vote.address], vote.epoch) for vote in by_epoch}
    return [address for address, rank in ranks.items() if rank == max(ranks.values())]


async def _until_majority(queries: set[asyncio.Task[Vote]]) -> list[Vote]:
    """Return the votes as soon as more than half of all sentinels agree, or all queries are done."""
    votes: list[Vote] = []
    counts: Counter[Address] = Counter()
    pending = queries
    while pending and max(counts.values(), default=0) <= len(queries) // 2:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        votes += [query.result() for query in done if query.exception() is None]
        counts = Counter(vote.address for vote in votes)
    return votes


def _error_for(queries: set[asyncio.Task[Vote]], url: StoreURL) -> Exception:
    """Return the error when there are no votes. If all sentinels refuse (a wrong password), waiting does not help."""
    failures = [query.exception() for query in queries if query.done() and not query.cancelled()]
    if all(isinstance(failure, ReplyError) for failure in failures) and isinstance(failures[0], ReplyError):
        return failures[0]
    reasons = "; ".join(sorted({str(failure) for failure in failures}))
    return NotSentError(f"no sentinel at {', '.join(map(str, url.addresses))} names a primary: {reasons}")
