"""The worker of an endpoint: moves its events from the stream to its queue, and delivers messages that are due."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...exceptions import SessionError
from ..batches import EventBatches
from .addresses import may_be_private
from .endpoint import WEBHOOK, Endpoint
from .endpoint_store import Batch, EndpointStore, Message, after_failure
from .formats import Format, disabled_message
from .schedule import ATTEMPTS, delay_ms
from .sender import Outcome, Sender

logger = logging.getLogger("chuk_sessions.events")

_BATCH: Final = 100
"""Most events that are moved to the queue in one step."""

_RETRY_SECONDS: Final = 0.5
"""Pause after an error of the store."""


@dataclass(frozen=True, slots=True)
class Context:
    """The objects and settings that the workers of a relay share.

    Attributes:
        store: the store of endpoints and queues.
        sender: the HTTP client.
        formats: the formats by name.
        events: returns the events for the endpoint with an id.
        allow_hosts: names of hosts that may have private addresses.
        in_flight: maximum number of concurrent requests to an endpoint.
        lease_ms: time after which another relay takes over the messages of one that was killed.
        poll_seconds: longest time between two polls of a queue.
        attempts: how many attempts at a delivery had each result: delivered, failed, or gone.
        disabled: how many endpoints were disabled for each reason: gone, or failing.

    """

    store: EndpointStore
    sender: Sender
    formats: dict[str, Format]
    events: Callable[[str], EventBatches]
    allow_hosts: frozenset[str]
    in_flight: int
    lease_ms: int
    poll_seconds: float
    attempts: Counter[str] = field(default_factory=Counter)
    disabled: Counter[str] = field(default_factory=Counter)


class Worker:
    """The work of one process for one endpoint."""

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        self._endpoint = endpoint
        self._context = context
        self._format = context.formats[endpoint.format]
        self._wake = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        loops = [self._pump, self._deliver] if self._format.pushes else [self._pump]
        self._loops = [asyncio.create_task(self._repeat(loop)) for loop in loops]

    def update(self, endpoint: Endpoint) -> None:
        """Use the latest stored state of the endpoint."""
        self._endpoint = endpoint

    async def aclose(self) -> None:
        """Stop taking messages, and wait for the attempts in flight, each of which has a time limit."""
        self._is_stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, *self._attempts, return_exceptions=True)

    async def _repeat(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a loop again after each error."""
        while not self._is_stopping:
            try:
                await loop()
            except SessionError as error:
                logger.warning("the endpoint %s has to wait for the store: %s", self._endpoint.id, error)
            except Exception:
                logger.exception("the worker of the endpoint %s failed, and starts again", self._endpoint.id)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _pump(self) -> None:
        """Move events to the queue. Acknowledge them after the queue has stored them."""
        async with self._context.events(self._endpoint.id) as events:
            while batch := await events.next_batch(_BATCH):
                found = [self._format.message(self._endpoint, event) for event in batch]
                await self._enqueue([message for message in found if message is not None])

    async def _enqueue(self, messages: list[Message]) -> None:
        while messages:
            messages = messages[await self._store_first(messages) :]
            self._wake.set()
            if messages:
                # As long as the queue is full, events wait in the stream.
                await asyncio.sleep(self._context.poll_seconds)

    async def _store_first(self, messages: list[Message]) -> int:
        """Store the messages in the queue, and return how many of them, from the first on, it now has."""
        try:
            return await self._context.store.enqueue(self._endpoint, messages)
        except SessionError as error:
            logger.warning("events wait in the stream, because the store failed: %s", error)
            return 0

    async def _deliver(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            wait = self._context.poll_seconds
            free = self._context.in_flight - len(self._attempts)
            if free > 0 and self._endpoint.enabled:
                batch = await self._context.store.take(self._endpoint, free, self._context.lease_ms)
                for message in batch.messages:
                    self._start(message, batch)
                if batch.next_due:
                    wait = min(wait, max(0.001, (batch.next_due - batch.now) / 1000))
                if len(self._attempts) >= self._context.in_flight:
                    wait = self._context.poll_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def _start(self, message: Message, batch: Batch) -> None:
        task = asyncio.create_task(self._attempt(message, batch))
        self._attempts.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The message is due again when its lease ends.
            logger.warning("the result of an attempt was not stored for %s: %r", self._endpoint.id, error)

    async def _attempt(self, message: Message, batch: Batch) -> None:
        endpoint = self._endpoint
        outcome = await self._send(endpoint, message)
        self._context.attempts["delivered" if outcome.delivered else "gone" if outcome.gone else "failed"] += 1
        if not outcome.delivered:
            await self._failed(message, batch, outcome)
            return
        await self._context.store.delivered(endpoint, message, batch.claim)
        # Others may have failed since this attempt began.
        if self._endpoint.failing_since is not None:
            await self._change(lambda found: replace(found, failing_since=None))

    async def _send(self, endpoint: Endpoint, message: Message) -> Outcome:
        try:
            headers, body = self._format.request(endpoint, message)
            private = may_be_private(endpoint.url, endpoint.allow_private, self._context.allow_hosts)
            return await self._context.sender.post(endpoint.url, headers, body, allow_private=private)
        except Exception as error:
            # Keys may be unavailable for a while. A message that can never be sent must not block an ordered queue.
            logger.exception("a message for the endpoint %s could not be sent", endpoint.id)
            return Outcome(error=f"the request could not be made: {type(error).__name__}")

    async def _failed(self, message: Message, batch: Batch, outcome: Outcome) -> None:
        logger.info("the endpoint %s did not accept a message: %s", self._endpoint.id, outcome.error)
        if outcome.gone:
            await self._disable("gone", batch.now)
            await self._context.store.failed(self._endpoint, message, batch.claim, 0)
            return
        message = after_failure(message, batch.now, outcome.error)
        await self._context.store.failed(
            self._endpoint, message, batch.claim, delay_ms(message.attempts, outcome.retry_after_ms)
        )
        if self._endpoint.failing_since is None:
            await self._change(lambda found: replace(found, failing_since=found.failing_since or batch.now))
        elif message.attempts >= ATTEMPTS:
            await self._disable("failing", batch.now, failing_since=message.first_attempt_at)

    async def _change(self, change: Callable[[Endpoint], Endpoint]) -> None:
        try:
            self._endpoint = await self._context.store.change(self._endpoint.id, change)
        except ValueError:
            logger.debug("the endpoint %s was removed", self._endpoint.id)

    async def _disable(self, reason: str, now: int, failing_since: int | None = None) -> None:
        """Disable the endpoint, and tell the others, unless another process has done so.

        With `failing_since`, disable it only if it has accepted nothing since then. Other relays may have been
        successful.
        """
        disabled = False

        def disable(found: Endpoint) -> Endpoint:
            nonlocal disabled
            disabled = found.enabled and (
                failing_since is None or (found.failing_since is not None and found.failing_since <= failing_since)
            )
            return replace(found, enabled=False, disabled_because=reason) if disabled else found

        await self._change(disable)
        if not disabled:
            return
        self._context.disabled[reason] += 1
        logger.error("the endpoint %s was disabled: %s", self._endpoint.id, reason)
        message = disabled_message(self._endpoint, now)
        for other in (await self._context.store.load()).values():
            if other.enabled and other.format == WEBHOOK and other.wants(message.content["type"], None):
                await self._context.store.enqueue(other, [message])
