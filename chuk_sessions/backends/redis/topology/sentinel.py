"""A primary that sentinels name: who it is, and that it still is.

All sentinels are asked at once, and whom most of those name that answer is asked for its ROLE, since a sentinel can be
behind. Then they are asked once more, since a primary can be back as one before it is told otherwise. That is done anew
whenever the connection to the primary is lost, not only when a call fails: a demoted primary drops its clients, and
would answer reads as a replica, with what it knows.

A primary that is cut off from sentinels and replicas, but not from here, drops nobody. So sentinels are also asked on
patrol, in a calm rhythm. Their message +switch-master would come sooner, but can get lost with nobody the wiser.

| reply | what is done |
|---|---|
| READONLY, MASTERDOWN | a replica now, so look again; the call is repeated on the primary found |
| LOADING | the primary is back after a crash; look again, since the sentinels may prefer another |
| TRYAGAIN, CLUSTERDOWN | a pause |
| MOVED, ASK | not supported: sentinels and a cluster do not go together |
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from ..net.connector import Connector
from ..net.node import Node
from ..net.resp import NotSentError, ReplyError, ReplyLostError
from ..options import Address
from ..url import Target
from .base import Next, Redirect
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

_PAUSE = 0.05
_PATIENCE = 1.0
"""Seconds for one answer of a sentinel, or of a server that is asked for its role."""

_CALM = 1.0
"""Seconds between two patrols."""

_NOT_NOW = frozenset({"LOADING", "BUSY", "MASTERDOWN"})


class _Word(NamedTuple):
    """What a sentinel says: who is the primary, and in which epoch it was made that. Later ones are newer."""

    address: Address
    epoch: int


class Sentinel:
    """The topology of one primary that sentinels watch. Its replicas are not read from: they lag behind."""

    slotted = False

    def __init__(self, target: Target) -> None:
        self.closed = False
        self._target = target
        self._primary: Node | None = None
        self._trusted = False
        self._candidates: dict[Address, Node] = {}
        connect_timeout = min(_PATIENCE, target.sentinel_options.connect_timeout)
        self._sentinel_options = replace(target.sentinel_options, connect_timeout=connect_timeout)
        self._openers = [Connector(address, self._sentinel_options) for address in target.addresses]
        self._sentinels: dict[Connector, Node] = {}
        self._refresh = SingleFlight(self._look, _PAUSE, f"the primary {target.master}", target.options.call_timeout)
        self._leaving: set[asyncio.Task[None]] = set()

    async def route(self, slot: int | None, *, read_only: bool, deadline: float) -> Node:
        """The primary."""
        node = self._primary
        if node is None or not self._trusted or not node.connected:
            await self._refresh.until(self._is_found, deadline)
            node = self._primary
            assert node is not None
        return node

    def cached_route(self, slot: int | None) -> Node | None:
        """The primary, unless there is doubt."""
        node = self._primary
        return node if node is not None and self._trusted and node.connected else None

    async def on_error_reply(self, error: ReplyError, node: Node) -> Redirect:
        """See the table above."""
        if error.code in ("MOVED", "ASK"):
            return Redirect(Next.GIVE_UP)
        if error.code in ("READONLY", "MASTERDOWN") and node is self._primary and self._trusted:
            logger.warning("primary demoted: %s is a replica now; asking the sentinels", node.address)
        if error.code not in ("TRYAGAIN", "CLUSTERDOWN"):
            await self.on_connection_lost(node)
        return Redirect(Next.PAUSE)

    async def on_connection_lost(self, node: Node) -> None:
        """Look again, if this is the primary known."""
        if node is self._primary and not self.closed:
            self._trusted = False
            self._refresh.start()

    def nodes(self) -> Sequence[Node]:
        """The primary, if there is one."""
        return () if self._primary is None else (self._primary,)

    async def aclose(self) -> None:
        """Close the primary in order."""
        self.closed = True
        self._refresh.stop()
        await asyncio.gather(*(node.aclose() for node in self._all()), *self._leaving)

    def abort(self) -> None:
        """Close it at once."""
        self.closed = True
        self._refresh.stop()
        for node in self._all():
            node.abort()

    def _all(self) -> list[Node]:
        return [*self._sentinels.values(), *self._candidates.values(), *self.nodes()]

    def _is_found(self) -> bool:
        return self._trusted and self._primary is not None and self._primary.connected

    async def _look(self) -> None:
        """One round: ask the sentinels, then whom they name, and then whether they still do. Who has stood still while
        another was made the primary does not know of it, and would answer that it is one.
        """
        named = await self._named()
        for address in named:
            node = self._node_at(address)
            is_primary = await self._is_primary(node)
            if is_primary and address in await self._named():
                self._switch_primary(node)
                return
            if is_primary is not None or not self._is_in_use(node):
                self._drop(node)
        raise NotSentError(f"{' and '.join(map(str, named))}, as the sentinels say, is not a primary that answers")

    async def _patrol(self) -> None:
        """Look again when the sentinels name another than the primary in use. That is not believed before it is found,
        unless most of all sentinels say so, and not just of those that answer.
        """
        node = self._primary
        if node is not None and self._is_found():
            with suppress(NotSentError, ReplyError):
                words = await self._words()
                if sum(word.address != node.address for word in words) > len(self._openers) // 2:
                    await self.on_connection_lost(node)
                elif node.address not in _newest(words):
                    self._refresh.start()

    async def _named(self) -> list[Address]:
        return _newest(await self._words())

    async def _words(self) -> list[_Word]:
        """What the sentinels say."""
        asked = {self._refresh.spawn(self._ask_at(opener)) for opener in self._openers}
        try:
            words = await _majority(asked)
        finally:
            for task in asked:
                task.cancel()
        if not words:
            raise _complaint(asked, self._target)
        return words

    async def _ask_at(self, opener: Connector) -> _Word:
        """Ask one sentinel. Its connection stays open for the next time, unless there is none or the sentinel hangs."""
        sentinel = self._sentinels.get(opener)
        if sentinel is None:
            sentinel = self._sentinels[opener] = Node(opener.address, self._sentinel_options, opener)
        try:
            return await self._ask(sentinel)
        except (NotSentError, ReplyLostError, ReplyError):
            if not sentinel.connected and self._sentinels.get(opener) is sentinel:
                # The next attempt is without a pause of the connection's own.
                self._abandon(self._sentinels.pop(opener))
            raise

    async def _ask(self, sentinel: Node) -> _Word:
        # In this order: an address that has changed in between is taken for older than it is, which decides nothing.
        epoch = await self._epoch(sentinel)
        command = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._target.master)
        reply = await sentinel.query(command, _PATIENCE)
        if reply is None:
            raise NotSentError(f"the sentinel at {sentinel.address} knows no {self._target.master!r}")
        named = Address(reply[0].decode(), int(reply[1]))
        return _Word(self._target.options.reached_at(named), epoch)

    async def _epoch(self, sentinel: Node) -> int:
        try:
            facts = await sentinel.query((b"SENTINEL", b"MASTER", self._target.master), _PATIENCE)
        except ReplyError as refused:
            # A user who may not ask that, or a name that is not known: whom it names is asked all the same.
            if refused.code in ("NOPERM", "ERR"):
                return 0
            raise
        by_name = facts if isinstance(facts, dict) else dict(zip(facts[::2], facts[1::2], strict=True))
        return int(by_name[b"config-epoch"])

    def _is_in_use(self, node: Node) -> bool:
        """Whether calls may be under way: a primary that is slow to give its role is only slow, until one of its calls
        is late.
        """
        return node is self._primary and node.connected

    async def _is_primary(self, node: Node) -> bool | None:
        """Return whether it says that it is a primary, None when it does not say."""
        try:
            role = await node.query((b"ROLE",), _PATIENCE)
        except (NotSentError, ReplyLostError):
            return None
        except ReplyError as refused:
            # A user who may not ask for the role has to take the sentinels' word.
            if refused.code == "NOPERM":
                return True
            if refused.code in _NOT_NOW:
                return False
            raise
        return bool(role[0] == b"master")

    def _node_at(self, address: Address) -> Node:
        if self._primary is not None and self._primary.address == address and not self._primary.closed:
            return self._primary
        if address not in self._candidates:
            self._candidates[address] = Node(address, self._target.options)
        return self._candidates[address]

    def _switch_primary(self, node: Node) -> None:
        self._candidates.pop(node.address, None)
        old, self._primary, self._trusted = self._primary, node, True
        if old is None:
            self._refresh.patrol(self._patrol, _CALM)
        elif old.address != node.address:
            logger.warning("failover: the primary %s is %s now, not %s", self._target.master, node.address, old.address)
        # What a former primary still answers is worth nothing: it forgets what its successor does not have.
        for other in [*self._candidates.values(), *([old] if old is not None and old is not node else [])]:
            self._abandon(other)
        self._candidates.clear()

    def _drop(self, node: Node) -> None:
        """Not a primary, or out of reach. The next round tries anew, without a pause of the connection's own."""
        self._candidates.pop(node.address, None)
        self._abandon(node)

    def _abandon(self, node: Node) -> None:
        node.abort()
        self._leave(node)

    def _leave(self, node: Node) -> None:
        task = asyncio.create_task(node.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _newest(words: list[_Word]) -> list[Address]:
    """Whom most of the sentinels name, and of several with as many voices the newest: one address, or more where that
    does not decide either.
    """
    voices = Counter(word.address for word in words)
    in_order = sorted(words, key=lambda word: word.epoch)
    ranks = {word.address: (voices[word.address], word.epoch) for word in in_order}
    return [address for address, rank in ranks.items() if rank == max(ranks.values())]


async def _majority(asked: set[asyncio.Task[_Word]]) -> list[_Word]:
    """What the sentinels say, as soon as more than half of them name the same or nobody is left to wait for."""
    words: list[_Word] = []
    voices: Counter[Address] = Counter()
    pending = asked
    while pending and max(voices.values(), default=0) <= len(asked) // 2:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        words += [task.result() for task in done if task.exception() is None]
        voices = Counter(word.address for word in words)
    return words


def _complaint(asked: set[asyncio.Task[_Word]], target: Target) -> Exception:
    """Why there is no answer. When all sentinels refuse (a wrong password), waiting does not help."""
    failures = [task.exception() for task in asked if task.done() and not task.cancelled()]
    if all(isinstance(failure, ReplyError) for failure in failures) and isinstance(failures[0], ReplyError):
        return failures[0]
    reasons = "; ".join(sorted({str(failure) for failure in failures}))
    return NotSentError(f"no sentinel at {', '.join(map(str, target.addresses))} names a primary: {reasons}")
