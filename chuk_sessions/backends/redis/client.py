"""The client of a store: routes each call, packs it, and sends it. `retry` takes over after a failed attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NamedTuple

from ...core.call_hook import Count
from ...core.operation import Call, Operation, Reply, RetryCalls
from ...core.write_hook import WriteHook
from ...exceptions import SessionTimeoutError, SessionUnavailableError
from .net.node import Node
from .net.resp import Command, NotSentError, ReplyError, ReplyLostError, pack
from .per_loop import PerLoop
from .retry import RetryLoop
from .scripts import Script
from .topology.base import Topology
from .topology.slots import slot_of


class Request(NamedTuple):
    """A command, with the facts that decide how to retry it.

    Attributes:
        command: the command.
        name: its name in messages.
        retryable: whether it may be retried after a lost reply.
        key: one of its keys, which are all in one slot; None if any server will do.
        read_only: whether it writes nothing.
        call: the operation and its arguments, if the command runs a script.
        durable: whether replicas must acknowledge what it wrote.
        large_reply_name: the name under which the node learns the sizes of its replies; empty if they are small.
        retry_calls: returns the calls to send after a lost reply, in the same slot; None means the same command.

    """

    command: Command
    name: str
    retryable: bool
    key: str | None = None
    read_only: bool = False
    call: Call | None = None
    durable: bool = False
    large_reply_name: str = ""
    retry_calls: RetryCalls | None = None


class Client:
    """A client that sends requests to a store. Safe to share between tasks, threads, and event loops.

    Attributes:
        timeout: the time in seconds for a call, including all retries.
        max_retries: how often a call is retried.
        retries: how often calls have been retried so far.
        write_hook: the listeners to writes.
        count: counts a call for telemetry, or None.

    """

    def __init__(
        self,
        per_loop: PerLoop,
        redacted_url: str,
        timeout: float,
        max_retries: int,
        scripts: Mapping[str, Script],
        write_hook: WriteHook,
    ) -> None:
        self._per_loop = per_loop
        self._redacted_url = redacted_url
        self.timeout = timeout
        self.max_retries = max_retries
        self._scripts = scripts
        self.write_hook = write_hook
        self.retries = 0
        self.count: Count | None = None

    async def run(
        self,
        command: Command,
        name: str,
        retryable: bool,
        key: str | None = None,
        read_only: bool = False,
        *,
        large: bool | None = None,
    ) -> tuple[Any, bool]:
        """Run a command. Return its reply, and whether an earlier attempt may have been applied.

        The arguments are those of a Request, and whether the reply can be large: by default, if the command only reads.

        Raises:
            SessionTimeoutError: there was no reply within the timeout.
            SessionUnavailableError: there is no connection, or the server refuses the command.
            OutcomeUnknownError: the reply was lost, and the command is not retryable.
            ProviderError: another error, by the table in `error_replies`.

        """
        loop, topology, _ = self._per_loop.current()
        deadline = loop.time() + self.timeout
        large_name = name if (read_only if large is None else large) else ""
        node = None
        try:
            slot = slot_of(key) if topology.slotted and key is not None else None
            node = topology.cached_route(slot) or await topology.route(slot, read_only=read_only, deadline=deadline)
            packed = pack(command)
            sent = node.try_call(packed, deadline, large_name) or node.call((packed,), deadline, large=large_name)
            return await sent, False
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            request = Request(command, name, retryable, key, read_only, large_reply_name=large_name)
            return await RetryLoop(self, request, deadline).run(failure, topology, node)

    async def run_script(self, call: Call, retry_calls: RetryCalls | None, durable: bool) -> Reply:
        """Run the script of an operation and return its reply. See `Backend.run`.

        Raises the errors of `run`, and NotReplicatedError if `durable`.
        """
        operation, keys, argv = call
        count, reply = self.count, None
        begun_at = 0.0 if count is None else perf_counter()
        loop, topology, _ = self._per_loop.current()
        deadline = loop.time() + self.timeout
        node = None
        try:
            slot = slot_of(keys[0]) if topology.slotted else None
            node = topology.cached_route(slot) or await topology.route(
                slot, read_only=operation.read_only, deadline=deadline
            )
            packed = self._scripts[operation.name].call(keys, argv)
            if durable:
                reply = await node.call_durably((packed,), deadline)
            else:
                # The hot path: no further coroutine between this one and the reply that it awaits.
                large = operation.name if operation.large_reply else ""
                reply = await (node.try_call(packed, deadline, large) or node.call((packed,), deadline, large=large))
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            request = self.request_for(call, retry_calls, durable)
            reply, repeated = await RetryLoop(self, request, deadline).run(failure, topology, node)
            if repeated:
                reply = _reply_after_retry(operation, reply)
        finally:
            if self.write_hook.listeners:
                self.write_hook.report(call)
            if count is not None:
                count(call, reply, begun_at)
        return reply if reply.__class__ is list else [reply]

    def topology(self) -> Topology:
        """Return the topology of the running event loop."""
        return self._per_loop.current().topology

    def pack_evalsha(self, call: Call) -> bytes:
        """Return the packed EVALSHA of a call."""
        return self._scripts[call.operation.name].call(call.keys, call.argv)

    def pack_eval(self, call: Call) -> bytes:
        """Return the packed EVAL of a call, for a server that does not have the script."""
        return self._scripts[call.operation.name].call_by_text(call.keys, call.argv)

    def pack_after_noscript(self, call: Call, node: Node, sent_at: float) -> bytes:
        """Return the packed call for a node that did not have the script when it received the call sent at `sent_at`.

        Only one call carries the text: if another call has sent it since, it arrives before this one.
        """
        sha, now = self._scripts[call.operation.name].sha, asyncio.get_running_loop().time()
        if node.script_sent_at.get(sha, 0.0) > sent_at:
            return self.pack_evalsha(call)
        node.script_sent_at[sha] = now
        return self.pack_eval(call)

    def unavailable_error(self, request: Request, cause: BaseException | None) -> SessionUnavailableError:
        """Return the error for a call that was retried often enough."""
        error = SessionUnavailableError(f"{request.name}: no connection to {self._redacted_url}: {cause}")
        error.__cause__ = cause
        return error

    def timeout_error(self, request: Request, cause: BaseException) -> SessionTimeoutError:
        """Return the error for a call that has reached its deadline."""
        reason = f": {cause}" if isinstance(cause, NotSentError) else ""
        error = SessionTimeoutError(
            f"{request.name}: no answer from {self._redacted_url} within {self.timeout:g} s{reason}"
        )
        error.__cause__ = cause
        return error

    def request_for(self, call: Call, retry_calls: RetryCalls | None, durable: bool) -> Request:
        """Return the request of a call."""
        # A repeated call whose first attempt was applied writes nothing, so that WAIT would not wait for that attempt.
        retryable = call.operation.may_retry(call.argv) and not durable
        name, read_only = call.operation.name, call.operation.read_only
        large = name if call.operation.large_reply else ""
        packed = self.pack_evalsha(call)
        return Request(packed, name, retryable, call.keys[0], read_only, call, durable, large, retry_calls)


def _reply_after_retry(operation: Operation, reply: Any) -> Any:
    """Translate the reply of a call whose first attempt may have been applied. See `Operation.status_after_retry`."""
    status = reply[0] if isinstance(reply, list) else reply
    return operation.status_after_retry.get(status, reply)
