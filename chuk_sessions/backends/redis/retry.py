"""The one retry loop: whether, when, and where a failed call is retried.

A call has one deadline for all its attempts. It is retried a limited number of times, after a pause with exponential
backoff and jitter, if nothing of it was applied: it was never sent, or the reply says so (the table in
`error_replies`). Without a connection, only the deadline limits the attempts, and in a long outage the circuit breaker
stops them earlier. If its reply was lost, a call is retried only if a repeat does no harm; otherwise it raises
OutcomeUnknownError. If the lost attempt could still do harm, because it may arrive later, other calls are sent instead
(`retry_calls`), which undo that attempt.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from ...core.operation import Call
from ...exceptions import OutcomeUnknownError, ProviderError, SessionUnavailableError
from .error_replies import Action, action_for, error_for, unwrapped
from .net.circuit_breaker import CircuitOpenError
from .net.node import Node
from .net.resp import Command, Group, NotSentError, ReplyError, ReplyLostError
from .topology.base import RetryDecision, RetryTiming, Topology
from .topology.slots import slot_of

if TYPE_CHECKING:
    from .client import Client, Request

_FIRST_PAUSE = 0.01
_MAX_PAUSE = 0.25
_MIN_TIME_LEFT = 0.005
"""Seconds before the deadline from which on a further attempt would only fail again."""

_MAX_IMMEDIATE_RETRIES = 16
_ASKING: Command = (b"ASKING",)


class RetryLoop:
    """The retries of one call after its first attempt has failed."""

    def __init__(self, client: Client, request: Request, deadline: float) -> None:
        self._client = client
        self._request = request
        self._group: Group = (request.command,)
        self._call = request.call
        self._deadline = deadline
        self._sent_at = deadline - client.timeout
        self._retries = 0
        self._immediate_retries = 0
        self._pauses = 0
        self._repeated = False
        self._further_calls: list[Call] = []

    async def run(self, failure: Exception, topology: Topology, node: Node | None) -> tuple[Any, bool]:
        """Retry after the failure of the first attempt. Returns and raises what `Client.run` does.

        The caller reports the first call to the write hook. Calls that were sent instead of it are reported here.
        """
        try:
            return await self._retry(failure, topology, node)
        except SessionUnavailableError as error:
            error.reply_lost = self._repeated
            raise
        finally:
            for call in self._further_calls:
                self._client.write_hook.report(call)

    async def _retry(self, failure: Exception, topology: Topology, node: Node | None) -> tuple[Any, bool]:
        decision = RetryDecision(RetryTiming.AT_ONCE)
        while True:
            decision = await self._decide(failure, topology, node, decision.asking)
            await self._pause_or_give_up(decision.timing, failure)
            self._client.retries += 1
            topology, node = self._client.topology(), decision.node
            try:
                if node is None or node.closed:
                    node = None
                    node = await self._route(topology)
                return await self._send(node, decision.asking), self._repeated
            except (ReplyError, NotSentError, ReplyLostError) as another:
                failure = another

    async def _pause_or_give_up(self, timing: RetryTiming, failure: Exception) -> None:
        """Pause before the next attempt if necessary. Raise the final error if no attempt or no time is left."""
        loop = asyncio.get_running_loop()
        may_retry = self._count(timing, failure)
        if may_retry and timing is RetryTiming.AFTER_PAUSE:
            await asyncio.sleep(min(self._next_pause(), max(0.0, self._deadline - loop.time())))
        timed_out = loop.time() >= self._deadline - _MIN_TIME_LEFT
        if timed_out or not may_retry:
            raise self._final_error(failure, timed_out)

    async def _route(self, topology: Topology) -> Node:
        request = self._request
        slot = slot_of(request.key) if topology.slotted and request.key is not None else None
        return await topology.route(slot, read_only=request.read_only, deadline=self._deadline)

    async def _send(self, node: Node, asking: bool) -> Any:
        self._sent_at = asyncio.get_running_loop().time()
        group = [part for command in self._group for part in (_ASKING, command)] if asking else self._group
        if self._request.durable:
            return await node.call_durably(group, self._deadline)
        return await node.call(group, self._deadline, large=self._request.large_reply_name)

    def _count(self, timing: RetryTiming, failure: Exception) -> bool:
        """Count a retry, and return whether it is within its limit.

        A redirect, or a retry with the script's text, is not a failure of a server and has a limit of its own. An
        attempt without a connection does not count: the deadline and the circuit breaker limit those.
        """
        if timing is RetryTiming.AT_ONCE:
            self._immediate_retries += 1
            return self._immediate_retries <= _MAX_IMMEDIATE_RETRIES
        if not isinstance(failure, NotSentError):
            self._retries += 1
        return self._retries <= self._client.max_retries

    async def _decide(self, failure: Exception, topology: Topology, node: Node | None, asking: bool) -> RetryDecision:
        """Decide when and where to retry. Raise the call's error if it must not be retried."""
        if isinstance(failure, ReplyError):
            return await self._decide_on_reply(failure, topology, node, asking)
        if isinstance(failure, ReplyLostError):
            self._prepare_repeat(failure)
        if node is not None and not node.closed:
            await topology.on_connection_lost(node)
        if isinstance(failure, CircuitOpenError):
            # A caller that retries in a tight loop must not keep the event loop from ending the outage.
            await asyncio.sleep(0)
            raise self._client.unavailable_error(self._request, failure)
        return RetryDecision(RetryTiming.AFTER_PAUSE)

    def _prepare_repeat(self, failure: ReplyLostError) -> None:
        """Replace the commands by those for a repeat after a lost reply. Raise OutcomeUnknownError if it could harm."""
        if not self._request.retryable:
            raise OutcomeUnknownError(f"{self._request.name}: the reply was lost") from failure
        self._repeated = True
        if self._request.retry_calls is not None:
            *undo_calls, self._call = self._request.retry_calls()
            self._further_calls += (*undo_calls, self._call)
            # EVAL: with EVALSHA, a server without the script would leave the lost attempt as it is, without a sign.
            self._group = (*map(self._client.pack_eval, undo_calls), self._client.pack_evalsha(self._call))

    async def _decide_on_reply(
        self, failure: ReplyError, topology: Topology, node: Node | None, asking: bool
    ) -> RetryDecision:
        action = action_for(failure.message)
        if action is Action.EVAL and self._call is not None and node is not None:
            self._group = (*self._group[:-1], self._client.pack_after_noscript(self._call, node, self._sent_at))
            return RetryDecision(RetryTiming.AT_ONCE, node, asking)
        if action is Action.TOPOLOGY and node is not None:
            decision = await topology.on_error_reply(ReplyError(unwrapped(failure.message)), node)
            if decision.timing is RetryTiming.NEVER:
                raise self._error_for(failure)
            return decision
        if action is Action.WAIT or action is Action.TOPOLOGY:
            return RetryDecision(RetryTiming.AFTER_PAUSE)
        raise self._error_for(failure)

    def _error_for(self, failure: ReplyError) -> ProviderError:
        return error_for(failure.message, self._request.name, failure.server)

    def _final_error(self, failure: Exception, timed_out: bool) -> ProviderError:
        """Return the error of a call that has no time or attempts left.

        Either its last attempt was not applied, or a repeat would do no harm.
        """
        if isinstance(failure, ReplyError):
            error = self._error_for(failure)
            if isinstance(error, SessionUnavailableError):
                return error
        if timed_out:
            return self._client.timeout_error(self._request, failure)
        return self._client.unavailable_error(self._request, failure)

    def _next_pause(self) -> float:
        pause = min(_MAX_PAUSE, _FIRST_PAUSE * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        return pause * random.uniform(0.5, 1)
