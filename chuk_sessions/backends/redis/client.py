"""What happens to a call between its caller and its reply: routes, repeats, deadlines. The one retry loop.

A call has one deadline for all that it does. It is tried again, after a pause that grows and is partly chance, a
bounded number of times, when nothing of it was applied: it was never sent, or the reply says so (`replies` has the
table). Where there is no connection, the deadline bounds the attempts, and a circuit breaker ends them sooner in an old
outage. When its reply was lost it is tried again only where a repeat does no harm; else that is an OutcomeUnknownError.
Where the lost attempt could do harm later, being still on its way, the repeat is made anew, and undoes that attempt.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from ... import exceptions as errors
from ...core.operation import Call, Operation, Reply, RetryCalls
from .error_replies import Action, action_for, error_for, unwrapped
from .net.circuit_breaker import CircuitOpenError
from .net.node import Node
from .net.resp import Command, Group, NotSentError, ReplyError, ReplyLostError, pack
from .per_loop import PerLoop
from .scripts import Script
from .topology.base import Next, Redirect, Topology
from .topology.slots import slot_of

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_TOO_SHORT = 0.005
"""With less time left than this, in seconds, another attempt would only fail again."""
_MOST_HOPS = 16
_ASKING: Command = (b"ASKING",)


class Request(NamedTuple):
    """A command, and what may be done with it.

    Attributes:
        command: to send.
        what: its name in messages.
        repeatable: whether a repeat after a lost reply does no harm.
        key: one of its keys, which all lie in one slot; None where any server will do.
        read_only: it writes nothing.
        call: the operation that the command is, if it is one.
        durable: replicas must have what it wrote, too.
        renew: what is sent after a lost reply instead, in the same slot; None: the same again.

    """

    command: Command
    what: str
    repeatable: bool
    key: str | None = None
    read_only: bool = False
    call: Call | None = None
    durable: bool = False
    retry_calls: RetryCalls | None = None

    @property
    def large(self) -> str:
        """The name under which sizes of its replies are learned; empty where they are small."""
        large = self.read_only if self.call is None else self.call.operation.large_reply
        return self.what if large else ""


class Client:
    """Sends requests to a store. Safe to share between tasks, threads and event loops.

    Attributes:
        most_retries: how often a call is tried again.
        retries: how often that has happened so far.

    """

    def __init__(
        self, loops: PerLoop, shown: str, timeout: float, most_retries: int, scripts: Mapping[str, Script]
    ) -> None:
        self._loops = loops
        self._shown = shown
        self._timeout = timeout
        self.most_retries = most_retries
        self._scripts = scripts
        self.retries = 0

    async def run(
        self,
        command: Command,
        what: str,
        repeatable: bool,
        key: str | None = None,
        read_only: bool = False,
    ) -> tuple[Any, bool]:
        """The reply of a command, and whether it may have been applied before the attempt that gave it.

        The arguments are those of a Request. Raises SessionTimeoutError, SessionUnavailableError, OutcomeUnknownError,
        or what the table of replies has.
        """
        loop, topology, _ = self._loops.current()
        deadline = loop.time() + self._timeout
        node = None
        try:
            slot = slot_of(key) if topology.slotted and key is not None else None
            node = topology.cached_route(slot) or await topology.route(slot, read_only=read_only, deadline=deadline)
            packed = pack(command)
            large = what if read_only else ""
            return await (node.try_call(packed, deadline, large) or node.call((packed,), deadline, large=large)), False
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            request = Request(command, what, repeatable, key, read_only)
            return await _RetryLoop(self, request, deadline).after(failure, topology, node)

    async def run_script(self, call: Call, retry_calls: RetryCalls | None, durable: bool) -> Reply:
        """The reply of an operation's script; see `Backend.run`. Raises what `run` does, and NotReplicatedError where
        it is durable.
        """
        operation, keys, argv = call
        loop, topology, _ = self._loops.current()
        deadline = loop.time() + self._timeout
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
                # The way of nearly all calls: no coroutine between this one and the reply that it waits for.
                large = operation.name if operation.large_reply else ""
                reply = await (node.try_call(packed, deadline, large) or node.call((packed,), deadline, large=large))
        except (ReplyError, NotSentError, ReplyLostError) as failure:
            request = self._request(call, retry_calls, durable)
            reply, again = await _RetryLoop(self, request, deadline).after(failure, topology, node)
            if again:
                reply = _meant(operation, reply)
        return reply if reply.__class__ is list else [reply]

    def command(self, call: Call) -> bytes:
        """What sends an operation."""
        return self._scripts[call.operation.name].call(call.keys, call.argv)

    def by_text(self, call: Call) -> bytes:
        """Return the same for a server that does not know the script."""
        return self._scripts[call.operation.name].call_by_text(call.keys, call.argv)

    def taught(self, call: Call, node: Node, since: float) -> bytes:
        """Return what sends an operation to a node that did not know the script when it got the call sent at `since`.

        The text travels once: if another call has brought it meanwhile, it arrives ahead of this one.
        """
        sha, now = self._scripts[call.operation.name].sha, asyncio.get_running_loop().time()
        if node.texts_sent.get(sha, 0.0) > since:
            return self.command(call)
        node.texts_sent[sha] = now
        return self.by_text(call)

    def topology(self) -> Topology:
        """The running event loop's."""
        return self._loops.current().topology

    def _request(self, call: Call, retry_calls: RetryCalls | None, durable: bool) -> Request:
        # A repeat that finds its work done writes nothing, so that there is nothing for WAIT to wait for.
        repeatable = call.operation.may_retry(call.argv) and not durable
        what, read_only = call.operation.name, call.operation.read_only
        return Request(self.command(call), what, repeatable, call.keys[0], read_only, call, durable, retry_calls)

    def unavailable(self, request: Request, cause: BaseException | None) -> errors.SessionUnavailableError:
        """The error for a call that was tried often enough."""
        error = errors.SessionUnavailableError(f"{request.what}: no connection to {self._shown}: {cause}")
        error.__cause__ = cause
        return error

    def late(self, request: Request, cause: BaseException) -> errors.SessionTimeoutError:
        """The error for a call whose time is up."""
        why = f": {cause}" if isinstance(cause, NotSentError) else ""
        error = errors.SessionTimeoutError(
            f"{request.what}: no answer from {self._shown} within {self._timeout:g} s{why}"
        )
        error.__cause__ = cause
        return error


def _meant(operation: Operation, reply: Any) -> Any:
    """What the reply of a repeated call means."""
    status = reply[0] if isinstance(reply, list) else reply
    return operation.status_after_retry.get(status, reply)


class _RetryLoop:
    """What is done about one call after its first attempt has failed."""

    def __init__(self, calls: Client, request: Request, deadline: float) -> None:
        self._calls = calls
        self._request = request
        self._group: Group = (request.command,)
        self._call = request.call
        self._deadline = deadline
        self._sent = deadline - calls._timeout
        self._tried = 0
        self._hops = 0
        self._pauses = 0
        self._again = False

    async def after(self, failure: Exception, topology: Topology, node: Node | None) -> tuple[Any, bool]:
        """The reply and whether an attempt before may have been applied; see `Calls.run`."""
        loop = asyncio.get_running_loop()
        verdict = Redirect(Next.NOW)
        while True:
            verdict = await self._judge(failure, topology, node, verdict.asking)
            may_go_on = self._count(verdict.next, failure)
            if may_go_on and verdict.next is Next.PAUSE:
                await asyncio.sleep(min(self._pause(), max(0.0, self._deadline - loop.time())))
            late = loop.time() >= self._deadline - _TOO_SHORT
            if late or not may_go_on:
                raise self._given_up(failure, late)
            self._calls.retries += 1
            topology, node = self._calls.topology(), verdict.node
            try:
                if node is None or node.closed:
                    node = None
                    node = await self._route(topology)
                self._sent = loop.time()
                group = [one for sent in self._group for one in (_ASKING, sent)] if verdict.asking else self._group
                if self._request.durable:
                    return await node.call_durably(group, self._deadline), self._again
                return await node.call(group, self._deadline, large=self._request.large), self._again
            except (ReplyError, NotSentError, ReplyLostError) as another:
                failure = another

    def _count(self, following: Next, failure: Exception) -> bool:
        """Return whether another attempt is within bounds. To be sent elsewhere, or as text, is no failure of a server.
        An attempt that found no connection did not reach one: the deadline and the circuit breaker bound those.
        """
        if following is Next.NOW:
            self._hops += 1
            return self._hops <= _MOST_HOPS
        if not isinstance(failure, NotSentError):
            self._tried += 1
        return self._tried <= self._calls.most_retries

    async def _route(self, topology: Topology) -> Node:
        request = self._request
        slot = slot_of(request.key) if topology.slotted and request.key is not None else None
        return await topology.route(slot, read_only=request.read_only, deadline=self._deadline)

    async def _judge(self, failure: Exception, topology: Topology, node: Node | None, asking: bool) -> Redirect:
        """Whether and where to try again. Raises the error that the call ends with, where it ends here."""
        if isinstance(failure, ReplyError):
            return await self._judge_reply(failure, topology, node, asking)
        if isinstance(failure, ReplyLostError):
            if not self._request.repeatable:
                raise errors.OutcomeUnknownError(f"{self._request.what}: the reply was lost") from failure
            self._again = True
            if self._request.retry_calls is not None:
                calls = self._request.retry_calls()
                # By text: a server that does not know a script would leave the lost attempt as it is, unnoticed.
                undoing = map(self._calls.by_text, calls[:-1])
                self._group, self._call = (*undoing, self._calls.command(calls[-1])), calls[-1]
        if node is not None and not node.closed:
            await topology.on_connection_lost(node)
        if isinstance(failure, CircuitOpenError):
            # A caller that tries again in a tight loop must not keep the loop from ending the outage.
            await asyncio.sleep(0)
            raise self._calls.unavailable(self._request, failure)
        return Redirect(Next.PAUSE)

    async def _judge_reply(self, failure: ReplyError, topology: Topology, node: Node | None, asking: bool) -> Redirect:
        answer = action_for(failure.message)
        if answer is Action.EVAL and self._call is not None and node is not None:
            self._group = (*self._group[:-1], self._calls.taught(self._call, node, self._sent))
            return Redirect(Next.NOW, node, asking)
        if answer is Action.TOPOLOGY and node is not None:
            verdict = await topology.on_error_reply(ReplyError(unwrapped(failure.message)), node)
            if verdict.next is Next.GIVE_UP:
                raise self._refused(failure)
            return verdict
        if answer is Action.WAIT or answer is Action.TOPOLOGY:
            return Redirect(Next.PAUSE)
        raise self._refused(failure)

    def _refused(self, failure: ReplyError) -> Exception:
        return error_for(failure.message, self._request.what, failure.where)

    def _given_up(self, failure: Exception, late: bool) -> Exception:
        """The error of a call that would be tried again, had it more time or attempts. After its last failure nothing
        was applied, or a repeat would do no harm.
        """
        if isinstance(failure, ReplyError):
            refused = self._refused(failure)
            if isinstance(refused, errors.SessionUnavailableError):
                return refused
        return self._calls.late(self._request, failure) if late else self._calls.unavailable(self._request, failure)

    def _pause(self) -> float:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        return pause * random.uniform(0.5, 1)
