"""Group commit: durable commands that are sent together share one WAIT.

WAIT covers all earlier writes of its connection, and blocks the commands after it until enough replicas have those
writes. A batch of commands therefore takes a connection without a WAIT in progress. Each command is sent at once. The
WAIT follows at the end of the event loop iteration. While another batch waits for the replicas, later commands join one
batch. Its WAIT is sent when the other batch is done, or after `_MAX_HOLD`. A caller therefore knows the result within
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

_MAX_HOLD = 0.2
"""Seconds for which a batch may collect commands while another one waits for the replicas."""


class Batch:
    """Commands that one WAIT acknowledges.

    Attributes:
        connection_slot: the connection slot whose connection the commands are sent on.
        connection: that connection.
        acknowledged: a future of the number of replicas that have the commands' writes, or of the error of the WAIT.
        closing: the scheduled end of the batch, which sends the WAIT.

    """

    __slots__ = ("acknowledged", "closing", "connection", "connection_slot")

    closing: asyncio.Handle

    def __init__(self, connection_slot: ConnectionSlot, connection: Connection) -> None:
        self.connection_slot = connection_slot
        self.connection = connection
        self.acknowledged: asyncio.Future[int | BaseException] = asyncio.get_running_loop().create_future()


class GroupCommit:
    """The sender of a node's durable commands. Belongs to one event loop."""

    def __init__(self, add_connection_slot: Callable[[], ConnectionSlot], node: str, options: Options) -> None:
        """Create a sender without connections.

        `add_connection_slot` creates a slot for a further connection. `node` is the node's name in errors.
        """
        self._add_connection_slot = add_connection_slot
        self._node = node
        self._replicas = options.wait_replicas
        self._wait = pack((b"WAIT", options.wait_replicas, max(1, round(options.wait_timeout * 1000))))
        self._wait_reply_timeout = options.wait_timeout + options.call_timeout
        self._hold = _MAX_HOLD
        self._loop = asyncio.get_running_loop()
        self._connection_slots: list[ConnectionSlot] = []
        self._waiting: set[ConnectionSlot] = set()
        self._batch: Batch | None = None

    def free_connection_slot(self) -> ConnectionSlot:
        """Return a connection slot without a WAIT in progress. Its connection may still have to be opened."""
        # The first free one: a caller that retries a change then also waits for the writes of its last attempt.
        # A slot that fails to open its connection is used only if there is no other.
        free = [connection_slot for connection_slot in self._connection_slots if connection_slot not in self._waiting]
        if free:
            return next((connection_slot for connection_slot in free if not connection_slot.failing), free[0])
        self._connection_slots.append(self._add_connection_slot())
        return self._connection_slots[-1]

    async def call(self, connection_slot: ConnectionSlot, packed: bytes, deadline: float, size: int, skip: int) -> Any:
        """Return the reply to a command once enough replicas have its writes.

        `connection_slot` has a connection, and `free_connection_slot()` has just returned it. The other arguments are
        those of `Connection.send`.

        Raises ReplyError, NotSentError, ReplyLostError and NotReplicatedError.
        """
        batch = self._join(connection_slot)
        reply = await batch.connection.send(packed, deadline, size, skip)
        # Not `await batch.acknowledged`: a canceled caller would cancel the future for all callers.
        await asyncio.wait((batch.acknowledged,), timeout=max(0.0, deadline - self._loop.time()))
        if not batch.acknowledged.done():
            raise ReplyLostError("the replicas did not acknowledge the write in time")
        self._raise_if_not_replicated(batch.acknowledged.result(), reply)
        return reply

    def stop_collecting(self) -> None:
        """Delay no WAIT from now on, because the connections will be closed after the calls in flight."""
        self._hold = 0.0
        self._send_pending_wait()

    def _raise_if_not_replicated(self, replicas: int | BaseException, reply: Any) -> None:
        if isinstance(replicas, (ReplyLostError, NotSentError)):
            raise ReplyLostError(str(replicas)) from replicas
        # Any other reply to WAIT means that the command before it was applied.
        if isinstance(replicas, BaseException) or replicas < self._replicas:
            message = f"{self._replicas} replicas of {self._node} should have the write; the reply to WAIT: {replicas}"
            raise NotReplicatedError(message, reply)

    def _join(self, connection_slot: ConnectionSlot) -> Batch:
        """Return the batch that collects commands on the slot's connection. Create it if no batch does."""
        connection = connection_slot.connection
        assert connection is not None
        if self._batch is not None and self._batch.connection is not connection:
            self._close(self._batch)
        if self._batch is None:
            self._batch = batch = Batch(connection_slot, connection)
            # Scheduled before the command is sent, so that command and WAIT leave in one write.
            if self._waiting and self._hold:
                batch.closing = self._loop.call_later(self._hold, self._close, batch)
            else:
                batch.closing = self._loop.call_soon(self._close, batch)
        return self._batch

    def _send_pending_wait(self) -> None:
        if self._batch is not None:
            self._close(self._batch)

    def _close(self, batch: Batch) -> None:
        """Let no more commands join the batch, and send its WAIT."""
        self._batch = None
        batch.closing.cancel()
        if batch.connection.close_reason is not None:
            batch.acknowledged.set_result(ReplyLostError(str(batch.connection.close_reason)))
            return
        self._waiting.add(batch.connection_slot)
        sent = batch.connection.send(self._wait, self._loop.time() + self._wait_reply_timeout)
        sent.add_done_callback(partial(self._on_wait_reply, batch))

    def _on_wait_reply(self, batch: Batch, reply: asyncio.Future[int]) -> None:
        self._waiting.discard(batch.connection_slot)
        batch.acknowledged.set_result(reply.exception() or reply.result())
        self._send_pending_wait()
