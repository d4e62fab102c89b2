"""Group commit: durable commands that are sent together share one WAIT.

WAIT covers all earlier writes of its connection, and holds up the commands after it until enough replicas have those
writes. So a batch of commands takes a connection without a WAIT under way. Each command is sent at once; the WAIT
follows at the end of the event loop's turn. While another batch waits for the replicas, later commands join one batch,
whose WAIT is sent when the other batch is done, or after `_LONGEST_HOLD`. A caller therefore knows the result within
`wait_timeout`, that hold, and a round trip. Replicas that do not respond cost further connections, one per hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from ....exceptions import NotReplicatedError
from ..options import Options
from .connection import Connection
from .connection_slot import ConnectionSlot
from .resp import NotSentError, ReplyLostError, pack

_LONGEST_HOLD = 0.2
"""Seconds for which a batch may collect commands while another one waits for the replicas."""


class Batch:
    """Commands that one WAIT acknowledges.

    Attributes:
        connection_slot: whose connection they are sent on.
        connection: that connection.
        acknowledged: the number of replicas that have the commands' writes, or the error that WAIT ended with.
        closing: sends the WAIT when it is due.

    """

    __slots__ = ("acknowledged", "closing", "connection", "connection_slot")

    closing: asyncio.Handle

    def __init__(self, lane: ConnectionSlot, link: Connection) -> None:
        self.connection_slot = lane
        self.connection = link
        self.acknowledged: asyncio.Future[int | BaseException] = asyncio.get_running_loop().create_future()


class GroupCommit:
    """Sends the durable commands of a node. Belongs to one event loop.

    `make_lane` gives places for further connections, `shown` is what errors call the node.
    """

    def __init__(self, make_lane: Callable[[], ConnectionSlot], shown: str, options: Options) -> None:
        self._make_lane = make_lane
        self._shown = shown
        self._replicas = options.wait_replicas
        self._wait = pack((b"WAIT", options.wait_replicas, max(1, round(options.wait_timeout * 1000))))
        self._patience = options.wait_timeout + options.call_timeout
        self._hold = _LONGEST_HOLD
        self._loop = asyncio.get_running_loop()
        self._connection_slots: list[ConnectionSlot] = []
        self._waiting: set[ConnectionSlot] = set()
        self._batch: Batch | None = None

    def lane(self) -> ConnectionSlot:
        """Return a place whose connection has no WAIT under way. The connection may still have to be opened."""
        # The first that is free: a caller that repeats a change then waits for what its last attempt wrote, too.
        for lane in self._connection_slots:
            if lane not in self._waiting:
                return lane
        self._connection_slots.append(self._make_lane())
        return self._connection_slots[-1]

    async def call(self, lane: ConnectionSlot, packed: bytes, deadline: float, size: int, skip: int) -> Any:
        """Return the reply of a command once enough replicas have its writes. `lane` is what `lane()` has just given,
        and has a connection; for the other arguments see `Link.send`.

        Raises ReplyError, NotSentError, LostError, and NotReplicatedError.
        """
        batch = self._join(lane)
        reply = await batch.connection.send(packed, deadline, size, skip)
        # Not the future itself: a caller that is cancelled would cancel it for all.
        await asyncio.wait((batch.acknowledged,), timeout=max(0.0, deadline - self._loop.time()))
        if not batch.acknowledged.done():
            raise ReplyLostError("the replicas did not confirm it in time")
        replicas = batch.acknowledged.result()
        if isinstance(replicas, (ReplyLostError, NotSentError)):
            raise ReplyLostError(str(replicas)) from replicas
        # Whatever else the reply to WAIT is, the command before it was applied.
        if isinstance(replicas, BaseException) or replicas < self._replicas:
            why = f"{self._replicas} replicas of {self._shown} should have it; the reply to WAIT: {replicas}"
            raise NotReplicatedError(why, reply)
        return reply

    def stop_collecting(self) -> None:
        """Hold back no WAIT from now on, because the connections are to be closed after the calls under way."""
        self._hold = 0.0
        self._flush()

    def _flush(self) -> None:
        if self._batch is not None:
            self._close(self._batch)

    def _join(self, lane: ConnectionSlot) -> Batch:
        link = lane.connection
        assert link is not None
        if self._batch is not None and self._batch.connection is not link:
            self._close(self._batch)
        if self._batch is None:
            self._batch = batch = Batch(lane, link)
            # Ahead of the command, so that both leave in one write.
            if self._waiting and self._hold:
                batch.closing = self._loop.call_later(self._hold, self._close, batch)
            else:
                batch.closing = self._loop.call_soon(self._close, batch)
        return self._batch

    def _close(self, batch: Batch) -> None:
        self._batch = None
        batch.closing.cancel()
        if batch.connection.close_reason is not None:
            batch.acknowledged.set_result(ReplyLostError(str(batch.connection.close_reason)))
            return
        self._waiting.add(batch.connection_slot)
        sent = batch.connection.send(self._wait, self._loop.time() + self._patience)
        sent.add_done_callback(partial(self._acknowledge, batch))

    def _acknowledge(self, batch: Batch, wait: asyncio.Future[int]) -> None:
        self._waiting.discard(batch.connection_slot)
        batch.acknowledged.set_result(wait.exception() or wait.result())
        self._flush()
